// The pages that stand in for Auth0's: log in, forgot password, change password, and an administrator's.
import { listen } from './live.js';
import { $ } from './page.js';
import { busily, fields, post } from './post.js';

function onSubmit(id, work) {
  const form = document.getElementById(id);
  if (!form) return;
  const say = (text) => { $('.said', form).textContent = text; };
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    say('');
    busily(form, () => work(form, say), say);
  });
}

onSubmit('login', (_, say) => say('There is nothing to log in to. Choose “Forgot password?” to change it.'));

onSubmit('forgot', async (form, say) => {
  await post('/api/passwords/forgotten', fields(form));
  say(form.dataset.done);
  $('#next').hidden = false;
});

let changed = false;
let arrived = false;

onSubmit('reset', async (form) => {
  changed = true;
  try {
    await post('/api/passwords/reset', fields(form));
  } catch (error) {
    changed = false;
    throw error;
  }
  form.closest('.card').hidden = true;
  $('#changed').hidden = false;
  $('#changed').focus();
});

onSubmit('administrator', async (form, say) => {
  changed = true;
  arrived = false;
  const { url, mails, waiting } = await post('/api/passwords/administrator', fields(form));
  const lost = !mails.length && !waiting;
  say(lost ? 'Password changed; no notice arrived.' : 'Password changed.');
  if (lost) nothing(url);
});

// At Auth0 the user does not wait for the Action: the notice comes when it comes.
listen(async ({ kind, mail, number, waiting }) => {
  if (!changed || !document.getElementById('notice')) return;
  if (kind === 'sendgrid.mail') {
    arrived = true;
    const response = await fetch(`/inbox/${mail}/arrived`);
    slideIn(await response.text()); // the server's own, escaped
  } else if (kind === 'run.ended' && !arrived && !waiting) {
    nothing(`/runs/${number}`);
  }
});

function nothing(url) {
  slideIn('<h2>No notice arrived</h2><p><a>See the run</a></p>');
  $('#notice a').href = url;
}

function slideIn(html) {
  const notice = $('#notice');
  notice.innerHTML = html;
  notice.hidden = false;
}
