// The Test page: a highlighted event with findings at their lines, drafts that survive navigation, and the run's result.
import { withProgress } from './live.js';
import { $, toast } from './page.js';
import { post, toBody, whileBusy } from './post.js';

const TOKENS = /("(?:[^"\\]|\\.)*")(?=\s*:)|("(?:[^"\\]|\\.)*")|(-?\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b)|(\b(?:true|false|null)\b)/g;
const CLASSES = ['key', 'string', 'number', 'word'];
const LINE_HEIGHT = 20;

const form = $('#editor');
if (form) initEditor(form);

// The view's link opens what was edited last.
$('.views [href="/test"]').href = `/test${sessionStorage.getItem('test') ?? ''}`;

function initEditor({ dataset }) {
  const area = $('#event');
  const original = $('#original').content.textContent;
  const draftKey = `draft:${location.search}`;
  let findings = [];
  let checkTimer;

  async function check() {
    const text = area.value;
    const result = await post(dataset.check, text);
    if (area.value !== text) return; // a later check follows
    findings = result.findings;
    $('#findings').replaceChildren(...findings.map(findingItem));
    render();
  }

  function render() {
    const lines = area.value.split('\n');
    $('#mirror').replaceChildren(...lines.flatMap((line, index) => [...tokens(line), ...inlineFindings(findings, index + 1), '\n']));
    $('#gutter').replaceChildren(...lines.map((_, index) => lineNumber(index + 1, findings)));
  }

  function saveDraft() {
    const isEdited = area.value !== original;
    $('#edited').hidden = !isEdited;
    if (isEdited) sessionStorage.setItem(draftKey, area.value);
    else sessionStorage.removeItem(draftKey);
  }

  async function run() {
    const { number } = await withProgress(() => post(dataset.run, area.value));
    const response = await fetch(`/runs/${number}/result`);
    $('#result').innerHTML = await response.text(); // rendered and escaped by the server
    if (matchMedia('(max-width: 960px)').matches) $('#result-title').scrollIntoView();
  }

  function showError(message) {
    const paragraph = document.createElement('p');
    paragraph.className = 'empty fail';
    paragraph.textContent = message;
    $('#result').replaceChildren(paragraph);
  }

  function handleInput() {
    render();
    saveDraft();
    clearTimeout(checkTimer);
    checkTimer = setTimeout(check, 200);
  }

  area.addEventListener('input', handleInput);
  area.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    whileBusy(form, run, showError);
  });
  $('#findings').addEventListener('click', ({ target }) => {
    const line = Number(target.closest('[data-line]')?.dataset.line);
    if (line) selectLine(area, line);
  });
  $('#discard').addEventListener('click', () => {
    area.value = original;
    area.focus();
    handleInput();
  });
  $('#save-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const { name } = toBody(event.target);
    whileBusy(event.target, async () => {
      await post('/api/examples', { name, text: area.value });
      sessionStorage.removeItem(draftKey);
      location.assign(`/test?example=${encodeURIComponent(name)}`);
    });
  });

  sessionStorage.setItem('test', location.search);
  $('#area').classList.add('enhanced');
  area.value = sessionStorage.getItem(draftKey) ?? area.value;
  saveDraft();
  render();
  check().catch((error) => toast(error.message));
}

/** Splits a line of JSON into text and highlighted spans. */
function* tokens(line) {
  let end = 0;
  for (const match of line.matchAll(TOKENS)) {
    yield line.slice(end, match.index);
    yield span(CLASSES[match.slice(1).findIndex(Boolean)], match[0]);
    end = match.index + match[0].length;
  }
  yield line.slice(end);
}

function span(className, text) {
  return Object.assign(document.createElement('span'), { className, textContent: text });
}

function inlineFindings(findings, number) {
  return findings.filter(({ line }) => line === number).map(({ path, message, kind }) =>
    span(`inline-finding ${kind}`, `${path.split('.').at(-1)} ${message}`.trim()));
}

function lineNumber(number, findings) {
  return span(findings.find(({ line }) => line === number)?.kind ?? '', number);
}

function findingItem({ line, path, message, hint, kind }) {
  const item = document.createElement('li');
  item.className = kind;
  const button = Object.assign(document.createElement('button'), { type: 'button', textContent: `line ${line}` });
  button.dataset.line = line;
  const text = document.createElement('span');
  if (path) text.append(Object.assign(document.createElement('code'), { textContent: path }), ' ');
  text.append(message);
  if (hint) text.append(' ', Object.assign(document.createElement('em'), { textContent: hint }));
  item.append(button, text);
  return item;
}

/** Selects the line and scrolls it into view. */
function selectLine(area, line) {
  const lines = area.value.split('\n');
  const start = lines.slice(0, line - 1).reduce((sum, { length }) => sum + length + 1, 0);
  area.focus({ preventScroll: true });
  area.setSelectionRange(start, start + lines[line - 1].length);
  $('#area').scrollTop = (line - 4) * LINE_HEIGHT;
}
