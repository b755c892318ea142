// What every view has: buttons and forms that use the API, copying, live arrivals, mails at their full height.
import './post.js';
import './copy.js';
import './live.js';
import './frames.js';
import './editor.js';
import './stage.js';
