// Cards of photos. All that comes from files and endpoints is text, never HTML.
export default {
  props: { cards: Array, large: Boolean, heat: Boolean },
  methods: {
    percent(share) {
      return `${Math.min(100, Math.max(0, 100 * share))}%`;
    },
    shape({ size: [width, height] }) {
      return { aspectRatio: `${width} / ${height}`, maxWidth: `${((this.large ? 460 : 240) * width) / height}px` };
    },
    place(square) {
      return Object.fromEntries(Object.entries(square).map(([side, share]) => [side, this.percent(share)]));
    },
    async save(card) {
      const colour = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
      const [width, scale] = [480, 2];
      const height = card.src ? Math.round((width * card.size[1]) / card.size[0]) : 0;
      const canvas = document.createElement("canvas");
      canvas.width = width * scale;
      canvas.height = (height + 72 + 30 * card.bars.length) * scale;
      const draw = canvas.getContext("2d");
      draw.scale(scale, scale);
      draw.fillStyle = colour("--card");
      draw.fillRect(0, 0, canvas.width, canvas.height);
      const picture = async (src) => {
        const image = new Image();
        image.src = src;
        await image.decode();
        return image;
      };
      if (card.src) draw.drawImage(await picture(card.src), 0, 0, width, height);
      if (card.heat && this.heat) {
        const { left, top, width: across, height: down } = card.square;
        draw.globalAlpha = 0.75;
        draw.drawImage(await picture(card.heat), left * width, top * height, across * width, down * height);
        draw.globalAlpha = 1;
      }
      let y = height + 24;
      const text = (words, x, tone, font) => {
        draw.fillStyle = colour(tone);
        draw.font = font || "14px system-ui, sans-serif";
        draw.fillText(words, x, y, width - x - 12);
      };
      text(card.name, 12, "--text", "600 15px system-ui, sans-serif");
      for (const bar of card.bars) {
        y += 30;
        text(`${bar.text}  ${bar.label}`, 12, "--text");
        draw.fillStyle = colour("--link");
        draw.fillRect(12, y + 5, Math.max(1, (width - 24) * bar.share), 6);
      }
      y += 30;
      text([card.verdict, card.novelty, card.took].filter(Boolean).join(" · "), 12, "--quiet");
      const link = document.createElement("a");
      link.href = canvas.toDataURL("image/png");
      link.download = `${card.file}.png`;
      link.click();
    },
  },
  template: `
    <ul class="sheet" :class="{ large }" aria-label="Photos">
      <li v-for="card in cards" :key="card.key" class="card photo" :class="card.tone ? 'is-' + card.tone : ''">
        <h3>{{ card.name }}</h3>
        <div v-if="card.src" class="frame" :style="shape(card)">
          <img :src="card.src" :alt="'Photo ' + card.name" loading="lazy">
          <img v-if="card.heat && heat" class="heat" :src="card.heat" :style="place(card.square)"
               :alt="'Red where the photo supports ' + card.bars[0].label">
        </div>
        <p v-if="card.error" class="bad">{{ card.error }}</p>
        <p v-if="card.waits" class="quiet">waiting</p>
        <p v-if="card.verdict" :class="card.tone">{{ card.verdict }}</p>
        <ol v-if="card.bars.length" class="bars">
          <li v-for="(bar, rank) in large ? card.bars : card.bars.slice(0, 1)" :key="rank">
            <span class="label">{{ bar.label }}</span><span class="number">{{ bar.text }}</span>
            <span class="track" aria-hidden="true"><span :style="{ width: percent(bar.share) }"></span></span>
          </li>
        </ol>
        <p v-if="card.novelty" :class="card.unlike ? 'bad' : 'quiet'">{{ card.novelty
          }}<span v-if="large" class="quiet"> ({{ card.new }})</span></p>
        <details v-if="!large && card.bars.length > 1"><summary>{{ card.bars.length }} likeliest</summary>
          <ol class="bars">
            <li v-for="(bar, rank) in card.bars" :key="rank">
              <span class="label">{{ bar.label }}</span><span class="number">{{ bar.text }}</span>
              <span class="track" aria-hidden="true"><span :style="{ width: percent(bar.share) }"></span></span>
            </li>
          </ol>
        </details>
        <p v-if="card.heat && heat && !card.exact" class="quiet">The heat map's place is approximate.</p>
        <p v-if="card.note" class="quiet">{{ card.note }}</p>
        <div class="saving" v-if="card.bars.length">
          <span v-if="card.took" class="quiet took">{{ card.took }}</span>
          <button type="button" class="plain" @click="save(card)" :aria-label="'Save as PNG: ' + card.name">PNG</button>
        </div>
      </li>
    </ul>`,
};
