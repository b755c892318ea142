// Buttons and forms with data-post change something by the API; data-then says what follows: `open` the run that the
// answer names, another address, or nothing but what is shown here anew.
import { withSteps } from './live.js';
import { renew, toast } from './page.js';

export async function post(path, body = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const response = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: text });
  const answer = await response.json().catch(() => ({ error: `${response.status} ${response.statusText}` }));
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

/** Runs `work` with `element` marked as busy; what goes wrong is told. */
export async function busily(element, work, told = toast) {
  if (element.ariaBusy === 'true') return;
  element.ariaBusy = 'true';
  try {
    await work();
  } catch (error) {
    told(error.message);
  } finally {
    element.ariaBusy = null;
  }
}

let changes = Promise.resolve();

/** Changes are made in the order of the presses, each with its renewal: none is lost, and none overtakes another. */
function inTurn(work) {
  const turn = changes.then(work);
  changes = turn.catch(() => {});
  return turn;
}

async function send(element, body) {
  const { post: path, also, then } = element.dataset;
  const work = async () => (also ? post(path, body).then(() => post(also)) : post(path, body));
  if (then === 'open') {
    await changes; // what was pressed before a run counts in it; what is pressed meanwhile need not wait for its end
    location.assign((await withSteps(work)).url);
  } else {
    await inTurn(async () => {
      await work();
      if (then) location.assign(then);
      else await renew(['#notices', '#main']);
    });
  }
}

/** A form's fields as the API wants them. */
export function fields(form, button = null) {
  const body = Object.fromEntries(new FormData(form, button));
  if ('switch' in body) [body.part, body.name] = body.switch.split('|');
  if ('count' in body) body.count = body.count ? Number(body.count) : null;
  return body;
}

document.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-post]');
  if (button) busily(button, () => send(button, button.dataset.body));
});

document.addEventListener('submit', (event) => {
  const form = event.target.closest('form[data-post]');
  if (!form) return;
  event.preventDefault();
  busily(event.submitter ?? form, () => send(form, fields(form, event.submitter))); // the switches share a form
});

// Enter on how often would press the first switch.
document.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && event.target.type === 'radio') event.preventDefault();
});

// A pop-up ends with Escape, or with a click elsewhere.
document.addEventListener('keydown', (event) => {
  const open = event.key === 'Escape' && event.target.closest('details.pop[open]');
  if (!open) return;
  open.open = false;
  open.firstElementChild.focus();
});
document.addEventListener('click', (event) => {
  for (const open of document.querySelectorAll('details.pop[open]')) if (!open.contains(event.target)) open.open = false;
});
