// A mail stands at its full height: its frame may be measured, though nothing in it can run.

const seen = new ResizeObserver((changes) => changes.forEach(({ target }) => fit(target)));

function fit(frame) {
  const height = frame.contentDocument?.documentElement?.offsetHeight;
  if (height && Number(frame.height) !== height) frame.height = height;
}

function watch(frame) {
  frame.addEventListener('load', () => fit(frame));
  seen.observe(frame);
}

document.querySelectorAll('iframe.mail-frame').forEach(watch);
new MutationObserver((changes) => {
  for (const { addedNodes } of changes) {
    for (const node of addedNodes) {
      if (node.matches?.('iframe.mail-frame')) watch(node);
      node.querySelectorAll?.('iframe.mail-frame').forEach(watch);
    }
  }
}).observe(document.body, { childList: true, subtree: true });
