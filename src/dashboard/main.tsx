import { render } from 'preact';
import { applyTheme } from './app/theme.ts';
import { App } from './pages/app.tsx';
import './style/base.css';
import './style/layout.css';
import './style/parts.css';

applyTheme();
const host = document.getElementById('app');
if (host !== null) render(<App />, host);
