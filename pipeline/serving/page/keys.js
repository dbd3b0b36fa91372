// The keys of a pixel over the picture: its token, the tokens that it attends to, and the part that the model saw.

export function overlayOf(found, number) {
  const stage = found.stages[number];
  return (context, at, zoom) => {
    const side = stage.scale * zoom;
    const corner = at({ x: found.left, y: found.top });
    context.strokeStyle = "rgba(255, 209, 102, 0.9)";
    context.lineWidth = 1;
    context.strokeRect(corner.x, corner.y, found.width * zoom, found.height * zoom);
    const box = (row, column) => [corner.x + column * side, corner.y + row * side, side, side];
    for (const [row, column] of stage.keys) {
      context.fillStyle = "rgba(255, 209, 102, 0.45)";
      context.fillRect(...box(row, column));
      context.strokeStyle = "rgba(0, 0, 0, 0.8)";
      context.strokeRect(...box(row, column));
    }
    context.lineWidth = 3;
    context.strokeStyle = "#e4002b";
    context.strokeRect(...box(Math.floor(found.y / stage.scale), Math.floor(found.x / stage.scale)));
  };
}
