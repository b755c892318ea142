// Buttons with data-copy put the API's answer on the clipboard; data-copy-of, what stands in the page.
import { $, toast } from './page.js';
import { busily } from './post.js';

async function text({ copy, copyOf }) {
  if (copyOf) return document.getElementById(copyOf).content.textContent;
  const response = await fetch(copy);
  if (!response.ok) throw new Error((await response.json()).error);
  return (await response.text()).trimEnd();
}

/** Where the browser gives no clipboard, the text is shown, selected. */
async function put(value, said) {
  try {
    await navigator.clipboard.writeText(value);
    toast(said);
  } catch {
    const field = $('#text-field');
    field.value = value;
    $('#text').showModal();
    field.select();
  }
}

document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-copy], [data-copy-of]');
  if (button) busily(button, async () => put(await text(button.dataset), button.dataset.said));
});
