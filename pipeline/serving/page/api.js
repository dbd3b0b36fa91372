// The service's API: every answer is the bytes that it sent, every refusal its one line.

export class RefusedError extends Error {}

async function answered(response) {
  if (response.ok) return response;
  const text = await response.text();
  let line = text.trim();
  try { line = JSON.parse(text).error; } catch { /* a proxy's own words */ }
  const again = response.headers.get("Retry-After");
  throw new RefusedError(line + (again ? ` (in ${again} s)` : ""));
}

export async function models() {
  return (await answered(await fetch("/v1/models"))).json();
}

export async function restore(name, file, { k, strength, format }, signal) {
  const query = new URLSearchParams({ k, strength, ...(format ? { format } : {}) });
  const response = await answered(
    await fetch(`/v1/restore/${name}?${query}`, { method: "POST", body: file, signal }),
  );
  const said = (header) => response.headers.get(`SemanIR-${header}`);
  return {
    blob: await response.blob(),
    version: said("Version"),
    model: said("Model"),
    seconds: Number(said("Seconds")),
    k: Number(said("K")),
    notes: JSON.parse(said("Notes") ?? "[]"),
  };
}

export async function keys(name, file, { y, x, k }, signal) {
  const query = new URLSearchParams({ y, x, k });
  return (await answered(await fetch(`/v1/keys/${name}?${query}`, { method: "POST", body: file, signal }))).json();
}
