// Page helpers: element lookup, toasts, and refreshing parts of the page.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

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

const PRESSED = ':is(a, button, summary):active';

let lastRefresh = Promise.resolve();

/** Fetches the current page and replaces the parts that changed, one refresh after the other. */
export function refresh(selectors) {
  lastRefresh = lastRefresh.then(() => refreshNow(selectors)).catch(() => {}); // live.js reports a stopped emulator
  return lastRefresh;
}

async function refreshNow(selectors) {
  const response = await fetch(location.href, { headers: { Accept: 'text/html' } });
  if (!response.ok) return;
  const fetched = new DOMParser().parseFromString(await response.text(), 'text/html');
  while ($(PRESSED)) await new Promise(requestAnimationFrame); // an element replaced while pressed gets no click
  const focused = describe(document.activeElement);
  for (const selector of selectors) {
    for (const current of $$(selector)) {
      const updated = current.id ? fetched.getElementById(current.id) : $(selector, fetched);
      if (!updated || updated.outerHTML === current.outerHTML) continue;
      keepOpenDetails(current, updated);
      keepEntries(current, updated);
      const scrollTop = current.scrollTop;
      current.replaceWith(document.adoptNode(updated));
      updated.scrollTop = scrollTop;
    }
  }
  if (document.activeElement === document.body && focused) restoreFocus(focused);
  document.dispatchEvent(new Event('refreshed'));
}

function describe(element) {
  if (!element || element === document.body) return null;
  const { tagName: tag, id } = element;
  return { tag, id, name: element.getAttribute('href') || element.getAttribute('aria-label') || element.textContent };
}

function restoreFocus({ tag, id, name }) {
  const sameName = $$(tag).find((element) => describe(element).name === name);
  ((id && document.getElementById(id)) || sameName || $('#main')).focus();
}

/** Keeps what the user chose or typed but hasn't sent. */
function keepEntries(current, updated) {
  for (const { ariaLabel, value } of $$('[data-keep]', current)) {
    const field = $(`[data-keep][aria-label="${CSS.escape(ariaLabel)}"]`, updated);
    if (field) field.value = value;
  }
}

function keepOpenDetails(current, updated) {
  const before = $$('details:not(.popover)', current);
  const after = $$('details:not(.popover)', updated);
  if (before.length > after.length) return; // a run never loses rows
  before.forEach((details, index) => { after[index].open = details.open; });
}
