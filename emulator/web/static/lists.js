// The list on the left: search as you type, filter, load more, and the selected item in view.
import { $, $$, refresh } from './page.js';

const form = $('.list-filter');
let typingTimer;

async function show(search) {
  history.replaceState(null, '', location.pathname + search);
  await refresh(['.list-items', '.list-foot']);
}

function applyFilter() {
  const filled = [...new FormData(form)].filter(([, value]) => value);
  const query = new URLSearchParams(filled).toString();
  show(query ? `?${query}` : '');
}

if (form) {
  form.addEventListener('input', () => {
    clearTimeout(typingTimer);
    typingTimer = setTimeout(applyFilter, 150);
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    applyFilter();
  });
  document.addEventListener('click', (event) => {
    const more = event.target.closest('[data-more]');
    if (!more) return;
    event.preventDefault();
    show(more.getAttribute('href'));
  });
  $('.list-items [aria-current]')?.scrollIntoView({ block: 'nearest' });
}

// On narrow screens, the navigation and the tabs scroll.
for (const current of $$('.views [aria-current], .tabs [aria-current]')) current.scrollIntoView({ block: 'nearest', inline: 'nearest' });

/** Returns the link `step` items below (1) or above (-1) the selected one, or the first one. */
export function neighbor(step) {
  const links = $$('.list-items li a');
  const current = links.findIndex((link) => link.ariaCurrent);
  return links[current < 0 ? 0 : current + step];
}
