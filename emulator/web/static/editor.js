// The test panel: line numbers, what the schema says of each line, and the run's result.
import { withSteps } from './live.js';
import { $ } from './page.js';
import { busily, post } from './post.js';

const form = $('#editor');
if (form) start(form);

function start({ dataset }) {
  const area = $('#event');
  let checking;

  async function check() {
    const { findings } = await post(dataset.check, area.value);
    $('#findings').replaceChildren(...findings.map(finding));
    number(findings);
  }

  function number(findings) {
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
    const { number: made } = await withSteps(() => post(dataset.run, area.value));
    const response = await fetch(`/runs/${made}/result`);
    $('#result').innerHTML = await response.text(); // the server's own, escaped
  }

  function tell(message) {
    const place = document.createElement('p');
    place.className = 'nothing fail';
    place.textContent = message;
    $('#result').replaceChildren(place);
  }

  area.addEventListener('input', () => {
    clearTimeout(checking);
    checking = setTimeout(check, 200);
  });
  area.addEventListener('scroll', () => { $('#gutter').scrollTop = area.scrollTop; });
  area.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    busily(form, run, tell);
  });
  $('#findings').addEventListener('click', ({ target }) => {
    const line = Number(target.closest('[data-line]')?.dataset.line);
    if (line) select(area, line);
  });
  check();
}

function finding({ line, path, message, hint, kind }) {
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

/** Puts the cursor on the line, in sight. */
function select(area, line) {
  const lines = area.value.split('\n');
  const start = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
  area.focus();
  area.setSelectionRange(start, start + lines[line - 1].length);
  area.scrollTop = (area.scrollHeight / lines.length) * (line - 4);
}
