// Auth0's SendGrid sample Action, awaited; Auth0's documentation of the trigger has it without `await`:
// https://auth0.com/docs/customize/actions/explore-triggers/post-change-password
const axios = require("axios");

exports.onExecutePostChangePassword = async (event) => {
  try {
    await axios.post('https://api.sendgrid.com/v3/mail/send', {
        personalizations: [{
          to: [{ email: event.user.email }]
        }],
        from: { email: 'security@example.com' },
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
  } catch (err) {
    console.log(`Error sending email to ${event.user.email}:`, err.message)
  }
};
