// The Faults page: search and filter by service; a changed count applies to an active fault at once.
import { $, $$ } from './page.js';
import { change, toBody } from './post.js';

const search = $('#fault-search');
let part = '';

function applyFilter() {
  const words = search.value.toLowerCase().split(/\s+/);
  for (const item of $$('.fault-group li')) {
    const text = item.textContent.toLowerCase();
    item.hidden = (part && item.dataset.part !== part) || !words.every((word) => text.includes(word));
  }
  for (const group of $$('.fault-group')) group.hidden = !$('li:not([hidden])', group);
  $('#no-faults').hidden = Boolean($('.fault-group:not([hidden])'));
}

if (search) {
  document.addEventListener('input', (event) => { if (event.target.id === 'fault-search') applyFilter(); });
  document.addEventListener('click', (event) => {
    const chip = event.target.closest('button[data-part]');
    if (!chip) return;
    part = chip.dataset.part;
    for (const button of $$('button[data-part]')) button.ariaPressed = String(button === chip);
    applyFilter();
  });
  document.addEventListener('change', (event) => {
    const form = event.target.closest('.active form.fault');
    if (form) change(event.target, '/api/switches', toBody(form));
  });
  document.addEventListener('refreshed', applyFilter);
}
