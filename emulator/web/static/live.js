// Live updates: the state of the connection, the steps of a run in progress, new runs and emails, and changed faults.
import { $, refresh, toast } from './page.js';

const CHANGES = /^(run\.|runs\.|sendgrid\.mail|switches\.|code\.|secrets\.|inbox\.|queue\.|cloud_tasks\.|emulator\.)/;

const listeners = [];
const ownRuns = new Set(); // the page shows their results itself
let after = document.body.dataset.after;
let instance = document.body.dataset.instance;
let source = null;
let running = false;
let refreshing = false;
let changedMeanwhile = false;
let releaseHiddenTab = () => {};

/** Calls `listener` with every journal entry: {kind, steps, run, email}. */
export const onEntry = (listener) => listeners.push(listener);

/** Awaits `work`, and shows the steps in the meantime, unless it finishes within 250 ms. */
export async function withProgress(work) {
  running = true;
  $('#live-steps').replaceChildren();
  const showTimer = setTimeout(() => { $('#live').hidden = false; }, 250);
  try {
    const result = await work();
    ownRuns.add(result.number);
    return result;
  } finally {
    running = false;
    clearTimeout(showTimer);
    $('#live').hidden = true;
  }
}

function appendStep({ who, what, state, fault }) {
  const item = document.createElement('li');
  const name = document.createElement('strong');
  name.textContent = who;
  item.className = state;
  item.append(name, ` ${what}${fault ? ` (injected: ${fault})` : ''}`);
  const list = $('#live-steps');
  list.append(item);
  list.scrollTop = list.scrollHeight;
}

/** Refreshes the live elements, once for changes in quick succession, and again for changes during a refresh. */
async function refreshSoon() {
  changedMeanwhile = true;
  if (refreshing) return;
  refreshing = true;
  while (changedMeanwhile) {
    await new Promise((resolve) => setTimeout(resolve, 120));
    changedMeanwhile = false;
    await refresh(['#banners', '#count', '[data-live]']);
  }
  refreshing = false;
}

function handleEntry(entry) {
  if (running) entry.steps.forEach(appendStep);
  const isShown = entry.run && $('#main [data-live]');
  if (CHANGES.test(entry.kind) || isShown || entry.steps.some((step) => step.fault)) refreshSoon();
  if (entry.kind === 'run.ended' && !running && !ownRuns.has(entry.number) && !$('#notice')) {
    toast(`Run ${entry.number}: ${entry.run?.title ?? 'finished'}.`, `/runs/${entry.number}`);
  }
  listeners.forEach((listener) => listener(entry));
}

function showConnection(isLost) {
  const element = $('#connection');
  if (element.classList.contains('lost') === isLost && element.textContent) return;
  element.classList.toggle('lost', isLost);
  element.textContent = isLost ? 'Emulator stopped' : 'Live';
  element.title = isLost ? 'Start it with “make run”. This page reconnects automatically.' : 'This page updates automatically.';
}

function handleHello({ data }) {
  showConnection(false);
  const hello = JSON.parse(data);
  if (instance && hello.instance !== instance) reload();
  instance = hello.instance;
}

/** Loads the page again after a restart, or the latest run if this one is gone. */
async function reload() {
  const response = await fetch(location.href);
  if (response.ok) location.reload();
  else location.assign('/');
}

function connect() {
  if (source) return;
  source = new EventSource(`/api/live?after=${after}`);
  source.addEventListener('hello', handleHello);
  source.addEventListener('entry', (event) => {
    after = event.lastEventId;
    handleEntry(JSON.parse(event.data));
  });
  source.addEventListener('error', () => {
    showConnection(true);
    if (source?.readyState !== EventSource.CLOSED) return; // the browser reconnects automatically
    disconnect();
    setTimeout(connect, 1000);
  });
}

function disconnect() {
  source?.close();
  source = null;
}

// Browsers limit connections per server, so only one hidden tab stays connected, for the title and notifications.
async function updateConnection() {
  releaseHiddenTab();
  if (!document.hidden) return connect();
  await navigator.locks?.request('hidden-tab', { ifAvailable: true }, (lock) => {
    if (!lock || !document.hidden) return disconnect();
    return new Promise((resolve) => { releaseHiddenTab = resolve; });
  });
}

document.addEventListener('visibilitychange', updateConnection);
addEventListener('pagehide', disconnect);
addEventListener('pageshow', connect);
