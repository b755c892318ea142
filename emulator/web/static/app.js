// Loaded by every page: API buttons and forms, copying, live updates, lists, and the pages' own scripts.
import './post.js';
import './copy.js';
import './live.js';
import './ages.js';
import './lists.js';
import './shortcuts.js';
import './notifications.js';
import './frames.js';
import './faults.js';
import './editor.js';
import './login_mock.js';

document.documentElement.classList.add('ready'); // style.css hides the page until now
