// Shows the values under the pointer. The page is complete without this script.
"use strict";
const short = (value) => {
  const size = Math.abs(value);
  if (size >= 1000) return value.toLocaleString("en", { maximumFractionDigits: 0 });
  if (size === 0 || size >= 0.001) return String(Number(value.toPrecision(3)));
  return value.toExponential(1);
};
const clock = (value) => {
  const whole = Math.round(value), hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  return (hours ? `${hours} h ` : "") + (hours || minutes ? `${minutes} min ` : "") + (hours ? "" : `${whole % 60} s`);
};
const nearest = (values, wanted) => {
  let low = 0, high = values.length - 1;
  while (high - low > 1) { const middle = (low + high) >> 1; if (values[middle] > wanted) high = middle; else low = middle; }
  return Math.abs(values[low] - wanted) <= Math.abs(values[high] - wanted) ? low : high;
};
const read = (data, place, group) => {
  const wanted = data.low + place * (data.high - data.low);
  const parts = data.series.filter((item) => item.x.length).map((item) => {
    const i = nearest(item.x, wanted);
    const range = item.low && item.low[i] !== item.high[i] ? ` (${short(item.low[i])} to ${short(item.high[i])})` : "";
    return `${item.name} ${short(item.mid[i])}${range}`;
  });
  return `${group === "time" ? clock(wanted) : "step " + short(Math.round(wanted))}: ${parts.join(", ")}`;
};
const plots = [...document.querySelectorAll(".plot[data-group]")].map((plot) => {
  const cursor = document.createElement("div");
  cursor.className = "cursor"; cursor.hidden = true; plot.append(cursor);
  return { plot, cursor, group: plot.dataset.group, reading: plot.parentElement.querySelector(".reading"),
    data: plot.dataset.points ? JSON.parse(plot.dataset.points) : null };
});
for (const { plot, group } of plots) {
  const all = plots.filter((item) => item.group === group);
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const place = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    for (const item of all) {
      item.cursor.hidden = false;
      item.cursor.style.left = `${100 * place}%`;
      if (item.data) item.reading.textContent = read(item.data, place, group);
    }
  });
  plot.addEventListener("pointerleave", () => {
    for (const item of all) { item.cursor.hidden = true; item.reading.textContent = ""; }
  });
}
for (const map of document.querySelectorAll(".map")) {
  const data = JSON.parse(map.dataset.map), reading = map.parentElement.querySelector(".reading");
  const levels = Uint8Array.from(atob(data.levels), (item) => item.charCodeAt(0));
  map.addEventListener("pointermove", (event) => {
    const box = map.getBoundingClientRect(), wide = data.across.length, high = data.rows.length;
    const column = Math.min(wide - 1, Math.max(0, Math.floor(wide * (event.clientX - box.left) / box.width)));
    const row = Math.min(high - 1, Math.max(0, Math.floor(high * (event.clientY - box.top) / box.height)));
    const level = levels[row * wide + column], part = level / 249;
    const value = data.log ? data.low * (data.high / data.low) ** part : data.low + part * (data.high - data.low);
    const shown = level === 250 ? "zero" : level === 251 ? "not a number" : level === 252 ? "none" : "about " + short(value);
    reading.textContent = `${data.rows[row]}, ${data.across[column]}: ${shown}`;
  });
  map.addEventListener("pointerleave", () => { reading.textContent = ""; });
}
addEventListener("beforeprint", () => { for (const item of document.querySelectorAll("details")) item.open = true; });
