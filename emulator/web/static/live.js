// Live updates: the steps of a run in progress, new emails, and injected or cleared faults.
import { $, refresh, toast } from './page.js';

const listeners = [];
let after = document.body.dataset.after;
let source = null;
let running = false;
let refreshTimer;

/** Calls `listener` with every journal entry: {kind, steps, mail}. */
export const onEntry = (listener) => listeners.push(listener);

/** Awaits `work` and shows the steps meanwhile, unless it finishes within 250 ms. */
export async function withProgress(work) {
  running = true;
  $('#live-steps').replaceChildren();
  const showTimer = setTimeout(() => { $('#live').hidden = false; }, 250);
  try {
    return await work();
  } finally {
    running = false;
    clearTimeout(showTimer);
    $('#live').hidden = true;
  }
}

function appendStep({ who, what, state, on_purpose: fault }) {
  const item = document.createElement('li');
  const name = document.createElement('strong');
  name.textContent = who;
  item.className = state;
  item.append(name, ` ${what}${fault ? ` (injected: ${fault})` : ''}`);
  const list = $('#live-steps');
  list.append(item);
  list.scrollTop = list.scrollHeight;
}

function scheduleRefresh() {
  clearTimeout(refreshTimer);
  refreshTimer = setTimeout(() => refresh(['#banners', '#count', '[data-live]']), 120);
}

const CHANGES = /^(sendgrid\.mail|switches\.changed|code\.changed|secrets\.changed|inbox\.emptied|queue\.changed|cloud_tasks\.)/;

function handleEntry(entry) {
  if (running) entry.steps.forEach(appendStep);
  if (CHANGES.test(entry.kind) || entry.steps.some((step) => step.on_purpose)) scheduleRefresh();
  if (entry.kind === 'run.ended' && !running && !$('#notice')) toast(`Run ${entry.number} finished.`, `/runs/${entry.number}`);
  listeners.forEach((listener) => listener(entry));
}

function connect() {
  if (source) return;
  source = new EventSource(`/api/live?after=${after}`);
  source.addEventListener('entry', (event) => {
    after = event.lastEventId;
    handleEntry(JSON.parse(event.data));
  });
}

function disconnect() {
  source?.close();
  source = null;
}

// Browsers limit connections per server, so hidden tabs close theirs.
document.addEventListener('visibilitychange', () => (document.hidden ? disconnect() : connect()));
addEventListener('pagehide', disconnect);
addEventListener('pageshow', connect);
