// The number of unread emails in the title, and, if the user asks for them, notifications of new emails.
import { onEntry } from './live.js';
import { $, toast } from './page.js';

const SETTING = 'notify';
const title = document.title;
const button = $('#notify');
let unread = 0;

const isOn = () => localStorage.getItem(SETTING) === 'on' && Notification.permission === 'granted';

function showButton() {
  button.hidden = !('Notification' in window);
  if (!button.hidden) button.ariaPressed = String(isOn());
}

function showUnread(count) {
  unread = count;
  document.title = unread ? `(${unread}) ${title}` : title;
}

async function toggle() {
  if (isOn()) {
    localStorage.removeItem(SETTING);
  } else if (await Notification.requestPermission() === 'granted') {
    localStorage.setItem(SETTING, 'on');
    toast('You get a notification of each new email while this page is in the background.');
  } else {
    toast('Your browser blocks notifications from this page.');
  }
  showButton();
}

function notify({ subject, to, url, number }) {
  const body = to.map(({ email }) => email).join(', ');
  const notification = new Notification(subject, { body, tag: `email-${number}`, icon: '/static/icon.svg' });
  notification.addEventListener('click', () => {
    window.focus();
    location.assign(url);
  });
}

onEntry(({ email }) => {
  if (!email || !document.hidden) return;
  showUnread(unread + 1);
  if ('Notification' in window && isOn()) notify(email);
});
document.addEventListener('visibilitychange', () => { if (!document.hidden) showUnread(0); });
button.addEventListener('click', toggle);
showButton();
