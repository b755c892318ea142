// Keyboard shortcuts, listed in the help dialog. They don't apply while typing.
import { neighbor } from './lists.js';
import { $ } from './page.js';

const ACTIONS = {
  '/': focusSearch,
  '?': () => $('#help').showModal(),
  j: () => neighbor(1)?.click(),
  k: () => neighbor(-1)?.click(),
  r: () => $('#replay')?.click(),
  e: () => $('#edit')?.click(),
};

function focusSearch() {
  const list = $('#list');
  if (list && !list.checkVisibility()) list.showPopover();
  ($('.list-filter input') ?? $('input[type=search]'))?.focus();
}

document.addEventListener('keydown', (event) => {
  const isTyping = event.target.closest('input, textarea, select, [contenteditable]');
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || $('dialog[open]')) return;
  const action = ACTIONS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

$('#help-button').addEventListener('click', ACTIONS['?']);
