// Buttons and forms with data-post call the API, after showing the question in data-confirm, if any. Then, data-then
// decides: `open` opens the run that the response names, a URL is opened, and without data-then the page is refreshed.
import { withProgress } from './live.js';
import { $$, refresh, toast } from './page.js';

export const NOT_RUNNING = 'The emulator isn’t running. Start it with “make run”.';

export async function post(path, body = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const headers = { 'Content-Type': 'application/json' };
  const response = await fetch(path, { method: 'POST', headers, body: text }).catch(() => { throw new Error(NOT_RUNNING); });
  const result = await response.json().catch(() => ({ error: `${response.status} ${response.statusText}` }));
  if (!response.ok) throw new Error(result.error);
  return result;
}

/** Runs `work` with `element` marked as busy; passes an error's message to `onError`. */
export async function whileBusy(element, work, onError = toast) {
  if (element.ariaBusy === 'true') return;
  element.ariaBusy = 'true';
  try {
    await work();
  } catch (error) {
    onError(error.message);
  } finally {
    element.ariaBusy = null;
  }
}

let changes = Promise.resolve();

/** Queues `work` behind earlier changes, so that concurrent clicks are applied in order, each with its refresh. */
function enqueue(work) {
  const change = changes.then(work);
  changes = change.catch(() => {});
  return change;
}

async function send(element, body) {
  const { post: path, also, then } = element.dataset;
  const work = async () => (also ? post(path, body).then(() => post(also)) : post(path, body));
  if (then === 'open') {
    await changes; // changes made before a run apply to it; changes made during it don't wait for its end
    location.assign((await withProgress(work)).url);
  } else {
    await enqueue(async () => {
      await work();
      if (then) location.assign(then);
      else await showChange(element);
    });
  }
}

/** Refreshes what is live and what only the user's own changes refresh. What was sent is no longer kept. */
async function showChange(element) {
  if (element.matches('form')) element.reset();
  const popover = element.closest('details.popover[open]');
  if (popover) close(popover);
  await refresh(['#banners', '#count', '[data-live]', '[data-refresh]']);
}

function close(popover) {
  if (popover.contains(document.activeElement)) popover.firstElementChild.focus();
  popover.open = false;
}

/** Posts `body` like a button with data-post, and refreshes the page. */
export const change = (element, path, body) => whileBusy(element, () => enqueue(async () => {
  await post(path, body);
  await showChange(element);
}));

/** Returns a form's fields as the API expects them. */
export function toBody(form, button = null) {
  const body = Object.fromEntries(new FormData(form, button));
  if ('fault' in body) [body.part, body.name] = body.fault.split('|');
  if ('count' in body) body.count = body.count ? Number(body.count) : null;
  return body;
}

document.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-post]');
  if (!button || (button.dataset.confirm && !confirm(button.dataset.confirm))) return;
  whileBusy(button, () => send(button, button.dataset.body));
});

document.addEventListener('submit', (event) => {
  const form = event.target.closest('form[data-post]');
  if (!form) return;
  event.preventDefault();
  whileBusy(event.submitter ?? form, () => send(form, toBody(form, event.submitter)));
});

// Escape or a click outside closes a popover.
document.addEventListener('keydown', (event) => {
  const popover = event.key === 'Escape' && event.target.closest('details.popover[open]');
  if (popover) close(popover);
});
document.addEventListener('click', (event) => {
  for (const popover of $$('details.popover[open]')) {
    if (!popover.contains(event.target)) popover.open = false;
  }
});
