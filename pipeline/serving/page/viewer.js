// Before and after on one canvas, moved and enlarged together. Places are pixels of the restored picture.

const MOST_ZOOM = 32;

export class Viewer {
  constructor(frame, canvas, onPixel) {
    this.frame = frame;
    this.canvas = canvas;
    this.before = this.after = this.changed = this.overlay = null;
    this.view = "slider";
    this.divider = 0.5;
    this.zoom = 1; // device pixels per picture pixel
    this.x = this.y = 0; // the picture's place at the middle of the canvas
    this.pointers = new Map();
    new ResizeObserver(() => this.draw()).observe(frame);
    frame.addEventListener("keydown", (event) => this.onKey(event));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY / 400), this.place(event));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => this.up(event, end === "pointerup" ? onPixel : () => {}));
    }
  }

  get size() {
    const shown = this.after ?? this.before;
    return shown ? { width: shown.width, height: shown.height } : null;
  }

  // Restored pixels per pixel of the input.
  get scale() {
    return this.after && this.before ? this.after.width / this.before.width : 1;
  }

  show(before, after, keepPlace) {
    this.before = before;
    this.after = after;
    if (!keepPlace) this.fit();
    this.draw();
  }

  fit() {
    if (!this.size) return;
    const box = this.box();
    this.zoom = Math.min(box.width / this.size.width, box.height / this.size.height);
    this.x = this.size.width / 2;
    this.y = this.size.height / 2;
    this.draw();
  }

  oneToOne() {
    this.zoom = 1;
    this.draw();
  }

  zoomBy(factor, around = { x: this.x, y: this.y }) {
    const next = Math.min(MOST_ZOOM, Math.max(0.05, this.zoom * factor));
    this.x = around.x + ((this.x - around.x) * this.zoom) / next;
    this.y = around.y + ((this.y - around.y) * this.zoom) / next;
    this.zoom = next;
    this.draw();
  }

  box() {
    const ratio = window.devicePixelRatio || 1;
    return {
      width: Math.max(1, Math.round(this.frame.clientWidth * ratio)),
      height: Math.max(1, Math.round(this.frame.clientHeight * ratio)),
      ratio,
    };
  }

  place(event) {
    const { ratio } = this.box();
    const area = this.canvas.getBoundingClientRect();
    return {
      x: this.x + ((event.clientX - area.left) * ratio - this.canvas.width / 2) / this.zoom,
      y: this.y + ((event.clientY - area.top) * ratio - this.canvas.height / 2) / this.zoom,
    };
  }

  down(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
    this.traveled = this.pointers.size > 1 ? Infinity : 0;
  }

  move(event) {
    const former = this.pointers.get(event.pointerId);
    if (!former) return;
    const { ratio } = this.box();
    const others = [...this.pointers.values()].filter((one) => one.pointerId !== event.pointerId);
    if (others.length) {
      const span = (one) => Math.hypot(one.clientX - others[0].clientX, one.clientY - others[0].clientY);
      this.zoomBy(span(event) / Math.max(1, span(former)));
    } else {
      this.x -= ((event.clientX - former.clientX) * ratio) / this.zoom;
      this.y -= ((event.clientY - former.clientY) * ratio) / this.zoom;
      this.traveled += Math.hypot(event.clientX - former.clientX, event.clientY - former.clientY);
    }
    this.pointers.set(event.pointerId, event);
    this.draw();
  }

  up(event, onPixel) {
    this.pointers.delete(event.pointerId);
    if (this.traveled > 4 || this.pointers.size || !this.before) return;
    const at = this.place(event);
    const x = Math.floor(at.x / this.scale), y = Math.floor(at.y / this.scale);
    if (x >= 0 && y >= 0 && x < this.before.width && y < this.before.height) onPixel(y, x);
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 40 / this.zoom;
    const moves = {
      ArrowLeft: () => { this.x -= step; }, ArrowRight: () => { this.x += step; },
      ArrowUp: () => { this.y -= step; }, ArrowDown: () => { this.y += step; },
      "+": () => this.zoomBy(1.25), "=": () => this.zoomBy(1.25), "-": () => this.zoomBy(0.8),
      1: () => this.oneToOne(), 0: () => this.fit(),
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    moves[event.key]();
    this.draw();
  }

  draw() {
    const { width, height, ratio } = this.box();
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!this.size) return;
    context.imageSmoothingEnabled = this.zoom < 1;
    const left = Math.round(width / 2 - this.x * this.zoom), top = Math.round(height / 2 - this.y * this.zoom);
    const paint = (picture) => context.drawImage(
      picture, left, top, this.size.width * this.zoom, this.size.height * this.zoom,
    );
    const shown = { before: this.before, difference: this.changed ?? this.before }[this.view] ?? this.after ?? this.before;
    paint(shown);
    if (this.view === "slider" && this.after && this.before) {
      const edge = Math.round(this.divider * width);
      context.save();
      context.beginPath();
      context.rect(0, 0, edge, height);
      context.clip();
      context.clearRect(0, 0, edge, height);
      paint(this.before);
      context.restore();
      context.fillStyle = "#fff";
      context.fillRect(edge - ratio, 0, 2 * ratio, height);
      context.strokeStyle = "#000";
      context.strokeRect(edge - ratio - 0.5, -1, 2 * ratio + 1, height + 2);
    }
    context.save(); // its line widths are not the divider's
    this.overlay?.(context, (pixel) => ({
      x: left + pixel.x * this.scale * this.zoom, y: top + pixel.y * this.scale * this.zoom,
    }), this.scale * this.zoom);
    context.restore();
  }
}
