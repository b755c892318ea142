// Mocks of Auth0's pages: log in, forgot password, and change password; and the administrator's password change.
import { onEntry } from './live.js';
import { $ } from './page.js';
import { post, toBody, whileBusy } from './post.js';

function onSubmit(id, work) {
  const form = document.getElementById(id);
  if (!form) return;
  const showMessage = (text) => { $('.form-message', form).textContent = text; };
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    showMessage('');
    whileBusy(form, () => work(form, showMessage), showMessage);
  });
}

onSubmit('login', (_, showMessage) => showMessage('There’s nothing to log in to. To change the password, choose “Forgot password?”'));

onSubmit('forgot', async (form, showMessage) => {
  await post('/api/passwords/forgotten', toBody(form));
  showMessage(form.dataset.message);
  $('#next').hidden = false;
});

let expectedRecipient = ''; // of the notice, once the password is being changed
let noticeArrived = false;

onSubmit('reset', async (form) => {
  expectedRecipient = form.dataset.email;
  try {
    await post('/api/passwords/reset', toBody(form));
  } catch (error) {
    expectedRecipient = '';
    throw error;
  }
  form.closest('.card').hidden = true;
  $('#changed').hidden = false;
  $('#changed').focus();
});

onSubmit('administrator', async (form, showMessage) => {
  expectedRecipient = form.elements.email.value;
  noticeArrived = false;
  const { url, mails, waiting } = await post('/api/passwords/administrator', toBody(form));
  const lost = !mails.length && !waiting;
  showMessage(lost ? 'Password changed; no notice arrived.' : 'Password changed.');
  if (lost) showNoNotice(url);
});

// As in Auth0, the user doesn't wait for the Action: the notice appears whenever it arrives.
onEntry(async ({ kind, mail, number, waiting, run }) => {
  if (!expectedRecipient || run?.recipient !== expectedRecipient) return; // another run
  if (kind === 'sendgrid.mail') {
    noticeArrived = true;
    const response = await fetch(`/inbox/${mail}/arrived`);
    showNotice(await response.text()); // rendered and escaped by the server
  } else if (kind === 'run.ended' && !noticeArrived && !waiting) {
    showNoNotice(`/runs/${number}`);
  }
});

function showNoNotice(url) {
  showNotice('<h2>No notice arrived</h2><p><a>View the run</a></p>');
  $('#notice a').href = url;
}

function showNotice(html) {
  const notice = $('#notice');
  notice.innerHTML = html;
  notice.hidden = false;
}
