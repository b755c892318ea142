// What happens, as it happens: the steps of a run that is under way, mails that arrive, what breaks or is repaired.
import { $, renew, toast } from './page.js';

const listeners = [];
let after = document.body.dataset.after;
let source = null;
let running = false;
let renewing;

/** `heard` gets every entry: {kind, steps, mail}. */
export const listen = (heard) => listeners.push(heard);

/** Does `work`, and shows the steps meanwhile, unless it ends at once. */
export async function withSteps(work) {
  running = true;
  $('#live-steps').replaceChildren();
  const waiting = setTimeout(() => { $('#live').hidden = false; }, 250);
  try {
    return await work();
  } finally {
    running = false;
    clearTimeout(waiting);
    $('#live').hidden = true;
  }
}

function step({ who, what, state, on_purpose: purpose }) {
  const item = document.createElement('li');
  const name = document.createElement('strong');
  name.textContent = who;
  item.className = state;
  item.append(name, ` ${what}${purpose ? ` (on purpose: ${purpose})` : ''}`);
  const list = $('#live-steps');
  list.append(item);
  list.scrollTop = list.scrollHeight;
}

function renewSoon() {
  clearTimeout(renewing);
  renewing = setTimeout(() => renew(['#notices', '#count', '[data-live]']), 120);
}

const CHANGES = /^(sendgrid\.mail|switches\.changed|code\.changed|secrets\.changed|inbox\.emptied|queue\.changed|cloud_tasks\.)/;

function hear(entry) {
  if (running) entry.steps.forEach(step);
  if (CHANGES.test(entry.kind) || entry.steps.some((each) => each.on_purpose)) renewSoon();
  if (entry.kind === 'run.ended' && !running && !$('#notice')) toast(`Run ${entry.number} ended.`, `/runs/${entry.number}`);
  listeners.forEach((heard) => heard(entry));
}

function connect() {
  if (source) return;
  source = new EventSource(`/api/live?after=${after}`);
  source.addEventListener('entry', (event) => {
    after = event.lastEventId;
    hear(JSON.parse(event.data));
  });
}

function disconnect() {
  source?.close();
  source = null;
}

// A browser keeps few connections to one server: tabs that nobody looks at give theirs back.
document.addEventListener('visibilitychange', () => (document.hidden ? disconnect() : connect()));
addEventListener('pagehide', disconnect);
addEventListener('pageshow', connect);
