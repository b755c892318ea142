// Shows emails at their full height. The frames' sandbox lets this script measure them, but runs no scripts in them.

const observer = new ResizeObserver((changes) => changes.forEach(({ target }) => fit(target)));

function fit(frame) {
  const height = frame.contentDocument?.documentElement?.offsetHeight;
  if (height && Number(frame.height) !== height) frame.height = height;
}

function watch(frame) {
  frame.addEventListener('load', () => fit(frame));
  observer.observe(frame);
}

document.querySelectorAll('iframe.email-frame').forEach(watch);
new MutationObserver((changes) => {
  for (const { addedNodes } of changes) {
    for (const node of addedNodes) {
      if (node.matches?.('iframe.email-frame')) watch(node);
      node.querySelectorAll?.('iframe.email-frame').forEach(watch);
    }
  }
}).observe(document.body, { childList: true, subtree: true });
