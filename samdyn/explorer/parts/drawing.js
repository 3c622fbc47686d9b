// Drawing: what stays (field, lines, basins) on one layer, trajectories on another, points on top.
// A pen is a canvas's context, or the writer of an SVG, which knows as much of one as is used here.

const ARROWS = 22;  // across a panel
const NAMES = ["paper", "ink", "faint", "field", "first", "second", "path", "stable", "unstable", "ascent", "mark",
  "basin0", "basin1", "basin2", "basin3", "basin4", "basin5", "nowhere"];
let palette = {};

function readPalette() {
  const style = getComputedStyle(document.documentElement);
  palette = Object.fromEntries(NAMES.map(name => [name, style.getPropertyValue("--" + name).trim()]));
}

function unitOf(panel) { return panel.canvas.width / (panel.canvas.clientWidth || panel.canvas.width || 1); }

function toPixel(panel, w) {
  const { width, height } = panel.canvas, [[x0, x1], [y0, y1]] = DATA.box;
  return [(w[0] - x0) / (x1 - x0) * width, (y1 - w[1]) / (y1 - y0) * height];
}

function toWorld(panel, px, py) {
  const { width, height } = panel.canvas, [[x0, x1], [y0, y1]] = DATA.box;
  return [x0 + px / width * (x1 - x0), y1 - py / height * (y1 - y0)];
}

// ---- what stays

// Nullclines and levels of the loss, as lines of a grid.
function* linesOf(panel) {
  const count = state.rough ? ROUGH : GRID, velocity = velocityOf(panel), [[x0, x1], [y0, y1]] = DATA.box;
  const first = [], second = [], levels = panel.levels ? null : [];
  for (let j = 0; j <= count; j++) {
    const y = y1 - j / count * (y1 - y0), rows = [[], [], []], value = [0];
    for (let i = 0; i <= count; i++) {
      const x = x0 + i / count * (x1 - x0), v = velocity(x, y);
      rows[0].push(v[0]), rows[1].push(v[1]);
      if (levels && DATA.loss) loss([x, y], DATA.loss, value), rows[2].push(value[0]);
    }
    first.push(rows[0]), second.push(rows[1]);
    if (levels && DATA.loss) levels.push(rows[2]);
    if (j % 8 === 7) yield;
  }
  if (levels) {
    const sorted = levels.flat().filter(Number.isFinite).sort((a, b) => a - b);
    const chosen = DATA.loss ? [...Array(13).keys()].map(k => sorted[Math.floor(sorted.length * (k + 1) / 14)]) : [];
    yield;
    panel.levels = { count, lines: chosen.flatMap(level => contour(levels, level)) };
    if (state.rough) panel.levels.rough = true;
  }
  const crossed = (rows, which) => contour(rows, 0).filter(line => passesZero(rows, line, which, velocity));
  return { count, first: crossed(first, 0), second: crossed(second, 1) };
}

// Whether a component goes through 0 where it changes its sign, on the side of a cell where a line
// begins: at a pole or a jump it does not.
function passesZero(rows, [a, b], which, velocity) {
  const count = rows.length - 1, along = Number.isInteger(b), i = Math.floor(a), j = Math.floor(b);
  const at = t => {
    const [x, y] = along ? [i + t, b] : [a, j + t];
    return velocity(DATA.box[0][0] + x / count * WIDE, DATA.box[1][1] - y / count * HIGH)[which];
  };
  let low = 0, high = 1, middle = 0;
  const first = at(0), most = Math.max(Math.abs(first), Math.abs(at(1)));
  for (let made = 0; made < 12; made++) {
    middle = at((low + high) / 2);
    if ((middle < 0) === (first < 0)) low = (low + high) / 2;
    else high = (low + high) / 2;
  }
  return Math.abs(middle) <= 0.1 * most;
}

function strokeLines(panel, pen, lines, count) {
  const dx = panel.canvas.width / count, dy = panel.canvas.height / count;
  pen.beginPath();
  for (const [a, b, c, d] of lines) pen.moveTo(a * dx, b * dy), pen.lineTo(c * dx, d * dy);
  pen.stroke();
}

function drawBack(panel, pen) {
  const { canvas } = panel, unit = unitOf(panel), shown = state.shown;
  pen.fillStyle = palette.paper;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  if (shown.basins && panel.basins) drawBasins(panel, pen);
  pen.lineCap = "round";
  if (shown.levels && panel.levels) {
    pen.lineWidth = 0.7 * unit, pen.strokeStyle = palette.faint;
    strokeLines(panel, pen, panel.levels.lines, panel.levels.count);
  }
  if (shown.arrows) drawArrows(panel, pen, unit);
  if (shown.nullclines && panel.lines) {
    pen.lineWidth = 1.3 * unit;
    for (const name of ["first", "second"]) {
      pen.strokeStyle = palette[name];
      strokeLines(panel, pen, panel.lines[name], panel.lines.count);
    }
  }
  if (shown.manifolds) {
    for (const { unstable, points } of panel.manifolds) {
      pen.lineWidth = 2.2 * unit, pen.strokeStyle = unstable ? palette.unstable : palette.stable;
      pen.setLineDash(unstable ? [] : [7 * unit, 4 * unit]);
      strokePath(panel, pen, points);
    }
    pen.setLineDash([]);
  }
}

function drawBasins(panel, pen) {
  const { cells } = panel.basins, side = panel.canvas.width / BASINS;
  for (let j = 0; j < BASINS; j++) {
    for (let i = 0, next; i < BASINS; i = next) {
      const which = cells[j * BASINS + i];
      for (next = i + 1; next < BASINS && cells[j * BASINS + next] === which; next++);
      if (which === -2) continue;
      pen.fillStyle = which < 0 ? palette.nowhere : palette["basin" + which % 6];
      pen.fillRect(i * side, j * side, (next - i) * side + 0.5, side + 0.5);
    }
  }
}

function drawArrows(panel, pen, unit) {
  const { canvas } = panel, length = 0.36 * canvas.width / ARROWS, velocity = velocityOf(panel);
  pen.strokeStyle = palette.field, pen.lineWidth = unit;
  pen.beginPath();
  for (let j = 0; j < ARROWS; j++) {
    for (let i = 0; i < ARROWS; i++) {
      const px = (i + 0.5) / ARROWS * canvas.width, py = (j + 0.5) / ARROWS * canvas.height;
      const v = velocity(...toWorld(panel, px, py));
      const sx = v[0] * canvas.width / (DATA.box[0][1] - DATA.box[0][0]);
      const sy = -v[1] * canvas.height / (DATA.box[1][1] - DATA.box[1][0]);
      const speed = Math.hypot(sx, sy);
      if (!(speed > 0) || !Number.isFinite(speed)) continue;
      drawArrow(pen, px, py, sx / speed * length, sy / speed * length);
    }
  }
  pen.stroke();
}

function drawArrow(pen, px, py, ux, uy) {
  pen.moveTo(px - ux, py - uy), pen.lineTo(px + ux, py + uy);
  pen.moveTo(px + ux * 0.3 - uy * 0.4, py + uy * 0.3 + ux * 0.4);
  pen.lineTo(px + ux, py + uy), pen.lineTo(px + ux * 0.3 + uy * 0.4, py + uy * 0.3 - ux * 0.4);
}

// ---- trajectories

function strokePath(panel, pen, points) {
  pen.beginPath();
  let drawn = null;  // nothing shorter than half a pixel: thousands of points may lie in one
  points.forEach((w, k) => {
    const at = toPixel(panel, w);
    if (!k) pen.moveTo(...at);
    else if (k < points.length - 1 && Math.abs(at[0] - drawn[0]) + Math.abs(at[1] - drawn[1]) < 0.5) return;
    else pen.lineTo(...at);
    drawn = at;
  });
  pen.stroke();
}

function drawPath(panel, pen, path) {
  const unit = unitOf(panel), stepped = state.steps && state.eta > 0;
  pen.strokeStyle = pen.fillStyle = palette.path;
  pen.lineWidth = (stepped ? 0.8 : 2) * unit;
  strokePath(panel, pen, path.points);
  if (stepped) for (const w of path.points.slice(0, 3000)) drawDot(panel, pen, w, 1.8 * unit);
  drawDot(panel, pen, path.points[0], 4 * unit);
}

function drawDot(panel, pen, w, size) {
  const [px, py] = toPixel(panel, w);
  pen.beginPath(), pen.arc(px, py, size, 0, 2 * Math.PI), pen.fill();
}

// ---- marks

function drawPoint(panel, pen, point) {
  const unit = unitOf(panel), [px, py] = toPixel(panel, point.w), size = 6 * unit;
  pen.strokeStyle = palette.mark, pen.lineWidth = 1.6 * unit;
  pen.beginPath();
  if (point.verdict === "degenerate" || point.verdict === "unknown") {
    pen.moveTo(px, py - size), pen.lineTo(px + size, py), pen.lineTo(px, py + size), pen.lineTo(px - size, py);
    pen.closePath();
  } else pen.arc(px, py, size, 0, 2 * Math.PI);
  pen.fillStyle = point.verdict === "attractor" ? palette.mark : palette.paper;
  pen.fill(), pen.stroke();
  if (point.verdict === "saddle") {
    const turn = halfOf(panel, point);
    pen.fillStyle = palette.mark;
    pen.beginPath(), pen.arc(px, py, size, turn - Math.PI / 2, turn + Math.PI / 2), pen.fill();
  }
  if (point.kind === "hallucinated") {
    pen.beginPath();
    for (const [sx, sy] of [[-1, -1], [-1, 1], [1, -1], [1, 1]]) {  // a cross that begins at the disc
      pen.moveTo(px + 0.72 * size * sx, py + 0.72 * size * sy), pen.lineTo(px + 1.4 * size * sx, py + 1.4 * size * sy);
    }
    pen.stroke();
  }
}

// Where a saddle's filled half looks: along its stable direction.
function halfOf(panel, point) {
  const rates = ratesOf(panel, point);
  if (!rates || rates[0][1]) return Math.PI;
  const [x, y] = eigenvector(jacobianAt(panel, point.w), rates[1][0]);
  return Math.atan2(-y, x);
}

function drawCross(panel, pen, w) {
  const unit = unitOf(panel), [px, py] = toPixel(panel, w);
  pen.strokeStyle = palette.mark, pen.lineWidth = 1.5 * unit;
  pen.beginPath();
  pen.moveTo(px - 9 * unit, py), pen.lineTo(px + 9 * unit, py);
  pen.moveTo(px, py - 9 * unit), pen.lineTo(px, py + 9 * unit);
  pen.stroke();
}

// From w to the point where the gradient is taken, at every start and at the pointer.
function drawAscents(panel, pen) {
  const unit = unitOf(panel), from = state.starts.map(one => one.w);
  if (panel.pointer) from.push(panel.pointer);
  pen.strokeStyle = palette.ascent, pen.lineWidth = 2 * unit;
  for (const w of from) {
    const there = ascentAt(panel, w);
    if (!there) continue;
    const [ax, ay] = toPixel(panel, w), [bx, by] = toPixel(panel, there), length = Math.hypot(bx - ax, by - ay);
    if (!(length > 2)) continue;
    const hx = (bx - ax) / length * 6 * unit, hy = (by - ay) / length * 6 * unit;
    pen.beginPath(), pen.moveTo(ax, ay), pen.lineTo(bx, by);
    pen.moveTo(bx - hx - hy * 0.5, by - hy + hx * 0.5), pen.lineTo(bx, by), pen.lineTo(bx - hx + hy * 0.5, by - hy - hx * 0.5);
    pen.stroke();
  }
}

function drawMarks(panel, pen) {
  if (state.shown.ascents) drawAscents(panel, pen);
  for (const point of pointsOf(panel)) drawPoint(panel, pen, point);
}

// ---- layers

function layer(panel, name) {
  const { width, height } = panel.canvas, canvas = panel[name] || document.createElement("canvas");
  if (canvas.width !== width || canvas.height !== height) canvas.width = width, canvas.height = height;
  panel[name] = canvas;
  return canvas.getContext("2d");
}

function draw(panel) {
  const { fresh, pen, canvas } = panel;
  if (fresh.back && fresh.paths && fresh.front) return;
  if (!fresh.back) drawBack(panel, layer(panel, "back"));
  if (!fresh.paths) {
    const under = layer(panel, "under");
    under.clearRect(0, 0, canvas.width, canvas.height);
    panel.paths.forEach((path, k) => { if (path && k !== state.dragged) drawPath(panel, under, path); });
  }
  pen.drawImage(panel.back, 0, 0);
  pen.drawImage(panel.under, 0, 0);
  if (state.dragged >= 0 && panel.paths[state.dragged]) drawPath(panel, pen, panel.paths[state.dragged]);
  if (panel.swarm) drawSwarm(panel, pen);
  drawMarks(panel, pen);
  if (state.cross && document.activeElement === canvas) drawCross(panel, pen, state.cross);
  panel.fresh = { back: true, paths: true, front: true };
}

let scheduled = false;
const frameTimes = [];  // milliseconds that the last frames took

function schedule() {
  if (!scheduled) scheduled = true, requestAnimationFrame(frame);
}

function frame() {
  scheduled = false;
  const began = performance.now();
  doWork(began + BUDGET);
  if (state.noise) panels.forEach(advance);
  panels.forEach(draw);
  frameTimes.push(performance.now() - began);
  if (frameTimes.length > 2000) frameTimes.shift();
  if (work.length || state.noise) schedule();
}

// ---- pictures

class SvgPen {
  constructor() { this.items = [], this.way = "", this.dash = [], this.lineCap = "round"; }
  beginPath() { this.way = ""; }
  moveTo(x, y) { this.way += `M${round(x)} ${round(y)}`; }
  lineTo(x, y) { this.way += `L${round(x)} ${round(y)}`; }
  closePath() { this.way += "Z"; }
  setLineDash(dash) { this.dash = dash; }
  arc(x, y, r, from, to) {
    const at = angle => `${round(x + r * Math.cos(angle))} ${round(y + r * Math.sin(angle))}`;
    const middle = (from + to) / 2, size = `A${round(r)} ${round(r)} 0 0 1 `;
    this.way += `M${at(from)}${size}${at(middle)}${size}${at(to)}`;
  }
  stroke() {
    const dash = this.dash.length ? ` stroke-dasharray="${this.dash.map(round).join(" ")}"` : "";
    this.items.push(`<path d="${this.way}" fill="none" stroke="${this.strokeStyle}" stroke-width="${round(this.lineWidth)}"${dash}/>`);
  }
  fill() { this.items.push(`<path d="${this.way}" fill="${this.fillStyle}"/>`); }
  fillRect(x, y, w, h) {
    this.items.push(`<rect x="${round(x)}" y="${round(y)}" width="${round(w)}" height="${round(h)}" fill="${this.fillStyle}"/>`);
  }
}

function round(x) { return Math.round(x * 100) / 100; }

function asSvg() {
  const gap = 16, height = panels[0].canvas.height, groups = [];
  let x = 0;
  panels.forEach((panel, k) => {
    const pen = new SvgPen(), { width } = panel.canvas;
    drawBack(panel, pen);
    panel.paths.forEach(path => path && drawPath(panel, pen, path));
    drawMarks(panel, pen);
    const clip = `<clipPath id="c${k}"><rect width="${width}" height="${height}"/></clipPath>`;
    const title = `<text x="0" y="-6" font-family="sans-serif" font-size="14" fill="${palette.ink}">${escaped(titleOf(panel))}</text>`;
    groups.push(`<g transform="translate(${x} 24)">${clip}${title}<g clip-path="url(#c${k})">${pen.items.join("\n")}</g></g>`);
    x += width + gap;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${x - gap} ${height + 24}">\n<rect width="100%" height="100%" fill="${palette.paper}"/>\n${groups.join("\n")}\n</svg>\n`;
}

function escaped(text) {
  return text.replace(/[&<>"]/g, c => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" }[c]));
}

function asPng() {
  const gap = 16, unit = unitOf(panels[0]), head = 24 * unit, all = document.createElement("canvas"), pen = all.getContext("2d");
  all.width = panels.reduce((sum, panel) => sum + panel.canvas.width + gap, -gap);
  all.height = panels[0].canvas.height + head;
  pen.fillStyle = palette.paper;
  pen.fillRect(0, 0, all.width, all.height);
  pen.fillStyle = palette.ink, pen.font = `${14 * unit}px sans-serif`, pen.textBaseline = "middle";
  panels.reduce((x, panel) => { pen.fillText(titleOf(panel), x, head / 2), pen.drawImage(panel.canvas, x, head); return x + panel.canvas.width + gap; }, 0);
  return all.toDataURL("image/png");
}
