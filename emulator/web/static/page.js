// Page helpers: element lookup, toasts, and refreshing parts of the page.

export const $ = (selector, root = document) => root.querySelector(selector);

let hideTimer;

export function toast(text, href = '') {
  const element = $('#toast');
  element.textContent = text;
  if (href) {
    const link = document.createElement('a');
    link.href = href;
    link.textContent = 'Open';
    element.append(' ', link);
  }
  element.classList.add('shown');
  clearTimeout(hideTimer);
  hideTimer = setTimeout(() => element.classList.remove('shown'), 6000);
}

/** Fetches the current page and replaces the parts that changed. */
export async function refresh(selectors) {
  const response = await fetch(location.href, { headers: { Accept: 'text/html' } });
  if (!response.ok) return;
  const fetched = new DOMParser().parseFromString(await response.text(), 'text/html');
  while ($('button:active')) await new Promise(requestAnimationFrame); // a button replaced while pressed gets no click
  const focused = describe(document.activeElement);
  for (const selector of selectors) {
    for (const current of document.querySelectorAll(selector)) {
      const updated = current.id ? fetched.getElementById(current.id) : $(selector, fetched);
      if (!updated || updated.outerHTML === current.outerHTML) continue;
      keepOpenDetails(current, updated);
      keepRadioChoices(current, updated);
      current.replaceWith(document.adoptNode(updated));
    }
  }
  if (document.activeElement === document.body && focused) restoreFocus(focused);
}

function describe(element) {
  if (!element || element === document.body) return null;
  const { tagName: tag, id } = element;
  return { tag, id, name: element.getAttribute('aria-label') || element.textContent };
}

function restoreFocus({ tag, id, name }) {
  const sameName = [...document.querySelectorAll(tag)].find((element) => describe(element).name === name);
  ((id && document.getElementById(id)) || sameName || $('#main')).focus();
}

function keepRadioChoices(current, updated) {
  for (const { name, value } of current.querySelectorAll('input[type=radio]:checked')) {
    const input = $(`input[type=radio][name="${name}"][value="${value}"]`, updated);
    if (input) input.checked = true;
  }
}

function keepOpenDetails(current, updated) {
  const before = current.querySelectorAll('details:not(.popover)');
  const after = updated.querySelectorAll('details:not(.popover)');
  if (before.length !== after.length) return;
  before.forEach((details, index) => { after[index].open = details.open; });
}
