// The Test page: line numbers, schema findings by line, and the run's result.
import { withProgress } from './live.js';
import { $ } from './page.js';
import { post, whileBusy } from './post.js';

const form = $('#editor');
if (form) initEditor(form);

function initEditor({ dataset }) {
  const area = $('#event');
  let checkTimer;

  async function check() {
    const { findings } = await post(dataset.check, area.value);
    $('#findings').replaceChildren(...findings.map(findingItem));
    renderGutter(findings);
  }

  function renderGutter(findings) {
    const kinds = new Map(findings.toReversed().map(({ line, kind }) => [line, kind]));
    const lines = area.value.split('\n').map((_, index) => {
      const line = document.createElement('span');
      line.textContent = index + 1;
      line.className = kinds.get(index + 1) ?? '';
      return line;
    });
    $('#gutter').replaceChildren(...lines);
    area.rows = Math.min(Math.max(lines.length, 12), 24);
    $('#gutter').scrollTop = area.scrollTop;
  }

  async function run() {
    const { number } = await withProgress(() => post(dataset.run, area.value));
    const response = await fetch(`/runs/${number}/result`);
    $('#result').innerHTML = await response.text(); // rendered and escaped by the server
  }

  function showError(message) {
    const paragraph = document.createElement('p');
    paragraph.className = 'empty fail';
    paragraph.textContent = message;
    $('#result').replaceChildren(paragraph);
  }

  area.addEventListener('input', () => {
    clearTimeout(checkTimer);
    checkTimer = setTimeout(check, 200);
  });
  area.addEventListener('scroll', () => { $('#gutter').scrollTop = area.scrollTop; });
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
  check();
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
  const start = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
  area.focus();
  area.setSelectionRange(start, start + lines[line - 1].length);
  area.scrollTop = (area.scrollHeight / lines.length) * (line - 4);
}
