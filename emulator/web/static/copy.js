// Buttons with data-copy copy an API response to the clipboard; with data-copy-of, the content of a template; with
// data-copy-block, the code block that they are in.
import { $, toast } from './page.js';
import { whileBusy } from './post.js';

async function readText(button) {
  const { copy, copyOf } = button.dataset;
  if ('copyBlock' in button.dataset) return $('pre', button.closest('figure')).textContent;
  if (copyOf) return document.getElementById(copyOf).content.textContent;
  const response = await fetch(copy);
  if (!response.ok) throw new Error((await response.json()).error);
  return (await response.text()).trimEnd();
}

/** Copies the text, or shows it selected in a dialog if the clipboard is unavailable. */
async function copyOrShow(text, message) {
  try {
    await navigator.clipboard.writeText(text);
    toast(message);
  } catch {
    const field = $('#copy-text');
    field.value = text;
    $('#copy-dialog').showModal();
    field.select();
  }
}

document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-copy], [data-copy-of], [data-copy-block]');
  if (button) whileBusy(button, async () => copyOrShow(await readText(button), button.dataset.message ?? 'Copied.'));
});
