// Auth0's SendGrid sample Action behind an HTTP function: the request body is the event, and the settings and the API key
// come from the environment.
const axios = require("axios");
const functions = require("@google-cloud/functions-framework");

const onExecutePostChangePassword = async (event) => {
  try {
    await axios.post(process.env.SENDGRID_URL + '/v3/mail/send', {
        personalizations: [{
          to: [{ email: event.user.email }]
        }],
        from: { email: process.env.SENDER_EMAIL },
        subject: 'Your password was changed',
        content: [{
          type: 'text/plain',
          value: 'The password for your ' + event.connection.name + ' account ' + event.user.email + ' was recently changed.'
        }]
      },
      {
        headers: {
          'Authorization': 'Bearer ' + event.secrets.SENDGRID_API_KEY
        },
      }
    );
    return 'sent';
  } catch (err) {
    console.log(`Error sending email to ${event.user.email}:`, err.message)
    return 'failed';
  }
};

functions.http('onExecutePostChangePassword', async (request, response) => {
  const secrets = { SENDGRID_API_KEY: process.env.SENDGRID_API_KEY };
  const status = await onExecutePostChangePassword({ ...request.body, secrets });
  response.status(status === 'sent' ? 200 : 503).json({ status });
});
