// Pictures as pixels: decoded as stored (no color conversion), compared in 8 bits.

export async function decode(blob) {
  return createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: "none" });
}

// The pixels of a bitmap, enlarged to width x height where it is smaller.
export function levels(bitmap, width = bitmap.width, height = bitmap.height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

// In dB over R, G and B; null where the sizes differ, Infinity where nothing does.
export function psnr(one, other) {
  if (one.width !== other.width || one.height !== other.height) return null;
  const a = levels(one).data, b = levels(other).data;
  let sum = 0;
  for (let at = 0; at < a.length; at += 4) {
    for (let channel = 0; channel < 3; channel += 1) {
      const difference = a[at + channel] - b[at + channel];
      sum += difference * difference;
    }
  }
  const mean = sum / ((a.length / 4) * 3);
  return mean === 0 ? Infinity : 10 * Math.log10((255 * 255) / mean);
}

export const GAIN = 4;

// Where two pictures differ: mid-gray where they do not, GAIN times the difference elsewhere.
export async function difference(before, after) {
  const a = levels(before, after.width, after.height), b = levels(after);
  for (let at = 0; at < b.data.length; at += 4) {
    for (let channel = 0; channel < 3; channel += 1) {
      b.data[at + channel] = 128 + GAIN * (b.data[at + channel] - a.data[at + channel]);
    }
    b.data[at + 3] = 255;
  }
  return createImageBitmap(b);
}
