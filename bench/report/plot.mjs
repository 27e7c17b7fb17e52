// A plot of the cell that matters most, without a drawing library: CPU time per request and requests per second of each
// contestant, on logarithmic axes, every round a dot. Its greys can be read on light and dark pages.
import { median } from '../lib/statistics.mjs';
import { cellName, MANY } from '../matrix.mjs';

const ROW_PX = 22;
const TOP_PX = 48;
const LABEL_PX = 170;
const PANEL_PX = 300;
const GAP_PX = 70;
const WIDTH_PX = LABEL_PX + 2 * PANEL_PX + GAP_PX + 60;
const OURS = '#2f81f7';
const OTHERS = '#8a8f98';

/** @returns {string} an SVG document */
export function plotOf(results) {
  const cell = results.cells.find((one) => cellName(one) === cellName(MANY));
  const good = (cell?.samples ?? []).filter((sample) => !sample.failed && sample.cpuUsPerRequest > 0);
  const names = [...new Set(good.map(({ contestant }) => contestant))];
  const heightPx = TOP_PX + names.length * ROW_PX + 16;
  const panels = [
    { key: 'cpuUsPerRequest', title: 'CPU µs per request (less is better)', left: LABEL_PX },
    {
      key: 'requestsPerSecond',
      title: 'requests per second (more is better)',
      left: LABEL_PX + PANEL_PX + GAP_PX,
    },
  ];
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH_PX} ${heightPx}" width="${WIDTH_PX}" height="${heightPx}" font-family="system-ui, sans-serif" font-size="12" fill="${OTHERS}">`,
    `<title>${cellName(MANY)}: CPU time per request and requests per second</title>`,
    ...names.map((name, row) =>
      text(LABEL_PX - 12, rowY(row) + 4, name, { anchor: 'end', fill: colourOf(name) }),
    ),
    ...panels.flatMap((panel) => drawPanel(panel, names, good)),
    '</svg>',
  ].join('\n')}\n`;
}

function drawPanel({ key, title, left }, names, samples) {
  const values = samples.map((sample) => sample[key]);
  const scale = logScale(values, left);
  const bottom = rowY(names.length) - ROW_PX / 2;
  return [
    text(left, 16, title, { weight: 'bold' }),
    ...scale.ticks.flatMap((tick) => [
      line([scale.x(tick), TOP_PX - 8], [scale.x(tick), bottom], 0.25),
      text(scale.x(tick), TOP_PX - 14, tick.toLocaleString('en'), { anchor: 'middle' }),
    ]),
    ...names.flatMap((name, row) => drawRow({ name, row, key, scale, samples })),
  ];
}

function drawRow({ name, row, key, scale, samples }) {
  const own = samples.filter(({ contestant }) => contestant === name).map((sample) => sample[key]);
  const middle = median(own) ?? 0;
  const y = rowY(row);
  const dot = (value, radius, opacity) =>
    `<circle cx="${px(scale.x(value))}" cy="${y}" r="${radius}" fill="${colourOf(name)}" fill-opacity="${opacity}"/>`;
  const figure = Math.round(middle).toLocaleString('en');
  return [
    line([scale.x(Math.min(...own)), y], [scale.x(Math.max(...own)), y], 0.8),
    ...own.map((value) => dot(value, 2.5, 0.5)),
    dot(middle, 4.5, 1),
    text(scale.x(Math.max(...own)) + 9, y + 4, figure, { fill: colourOf(name) }),
  ];
}

function logScale(values, left) {
  const low = Math.floor(Math.log10(Math.min(...values, 1e9)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values, 1))));
  return {
    x: (value) => left + ((Math.log10(value) - low) / (high - low)) * PANEL_PX,
    ticks: Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index)),
  };
}

function rowY(row) {
  return TOP_PX + row * ROW_PX + ROW_PX / 2;
}

function colourOf(name) {
  return name.startsWith('modelserve') ? OURS : OTHERS;
}

function text(x, y, content, { anchor = 'start', fill = OTHERS, weight = 'normal' } = {}) {
  return `<text x="${px(x)}" y="${px(y)}" text-anchor="${anchor}" fill="${fill}" font-weight="${weight}">${content}</text>`;
}

function line([x1, y1], [x2, y2], opacity) {
  return `<line x1="${px(x1)}" y1="${px(y1)}" x2="${px(x2)}" y2="${px(y2)}" stroke="${OTHERS}" stroke-opacity="${opacity}"/>`;
}

function px(value) {
  return Number(value.toFixed(1));
}
