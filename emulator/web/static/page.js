// The page's own parts: what is told, and what is fetched anew when something changed.

export const $ = (selector, root = document) => root.querySelector(selector);

let fading;

export function toast(text, href = '') {
  const place = $('#toast');
  place.textContent = text;
  if (href) {
    const link = document.createElement('a');
    link.href = href;
    link.textContent = 'Open';
    place.append(' ', link);
  }
  place.classList.add('shown');
  clearTimeout(fading);
  fading = setTimeout(() => place.classList.remove('shown'), 6000);
}

/** Fetches this very page and puts its parts in the place of the old ones. */
export async function renew(selectors) {
  const response = await fetch(location.href, { headers: { Accept: 'text/html' } });
  if (!response.ok) return;
  const fresh = new DOMParser().parseFromString(await response.text(), 'text/html');
  while ($('button:active')) await new Promise(requestAnimationFrame); // replaced before its release, it gets no click
  const focused = keyOf(document.activeElement);
  for (const selector of selectors) {
    for (const old of document.querySelectorAll(selector)) {
      const now = old.id ? fresh.getElementById(old.id) : $(selector, fresh);
      if (!now || now.outerHTML === old.outerHTML) continue;
      keepOpen(old, now);
      keepChosen(old, now);
      old.replaceWith(document.adoptNode(now));
    }
  }
  if (document.activeElement === document.body && focused) focusLike(focused);
}

function keyOf(element) {
  if (!element || element === document.body) return null;
  const { tagName: tag, id } = element;
  return { tag, id, name: element.getAttribute('aria-label') || element.textContent };
}

function focusLike({ tag, id, name }) {
  const alike = [...document.querySelectorAll(tag)].find((element) => keyOf(element).name === name);
  ((id && document.getElementById(id)) || alike || $('#main')).focus();
}

function keepChosen(old, now) {
  for (const { name, value } of old.querySelectorAll('input[type=radio]:checked')) {
    const same = $(`input[type=radio][name="${name}"][value="${value}"]`, now);
    if (same) same.checked = true;
  }
}

function keepOpen(old, now) {
  const before = old.querySelectorAll('details:not(.pop)');
  const after = now.querySelectorAll('details:not(.pop)');
  if (before.length !== after.length) return;
  before.forEach((details, index) => { after[index].open = details.open; });
}
