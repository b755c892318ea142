// Loaded by every page: API buttons and forms, copying, live updates, email frames, and the pages' own scripts.
import './post.js';
import './copy.js';
import './live.js';
import './frames.js';
import './editor.js';
import './login_mock.js';
