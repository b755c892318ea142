// Shows times as ages, such as "12 s" or "3 min ago", and keeps them current.
import { $$ } from './page.js';

const UNITS = [[86_400, 'd'], [3_600, 'h'], [60, 'min'], [1, 's']];

function age(seconds, form) {
  const [size, unit] = UNITS.find(([unitSeconds]) => seconds >= unitSeconds) ?? [];
  if (!size) return form === 'ago' ? 'just now' : 'now';
  const text = `${Math.floor(seconds / size)} ${unit}`;
  return form === 'ago' ? `${text} ago` : text;
}

function update() {
  for (const time of $$('time[data-age]')) {
    time.title ||= new Date(time.dateTime).toLocaleString();
    const text = age((Date.now() - Date.parse(time.dateTime)) / 1000, time.dataset.age);
    if (time.textContent !== text) time.textContent = text;
  }
}

update();
setInterval(update, 5000);
document.addEventListener('refreshed', update);
