'use strict';
(() => {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const remember = (key, value) => { try { localStorage.setItem(key, value); } catch { /* a private window */ } };
  const recall = (key) => { try { return localStorage.getItem(key); } catch { return null; } };

  const dark = matchMedia('(prefers-color-scheme: dark)');
  root.dataset.theme = recall('theme') || (dark.matches ? 'dark' : 'light');
  byId('theme').addEventListener('click', () => {
    root.dataset.theme = root.dataset.theme === 'dark' ? 'light' : 'dark';
    remember('theme', root.dataset.theme);
  });

  // Values under the pointer.
  const tip = byId('tip');
  for (const chart of document.querySelectorAll('svg.chart')) {
    const lines = JSON.parse(chart.dataset.series);
    const cursor = document.createElementNS('http://www.w3.org/2000/svg', 'line');
    cursor.setAttribute('class', 'cursor');
    cursor.setAttribute('y1', 12);
    cursor.setAttribute('y2', chart.viewBox.baseVal.height - 26);
    chart.addEventListener('pointermove', (event) => {
      const box = chart.getBoundingClientRect();
      const x = (event.clientX - box.left) * chart.viewBox.baseVal.width / box.width;
      let step = null;
      const rows = lines.map((line) => {
        let best = line.points[0];
        for (const point of line.points) if (Math.abs(point[0] - x) < Math.abs(best[0] - x)) best = point;
        step ??= best;
        return `${line.name}  ${best[3]}`;
      });
      cursor.setAttribute('x1', step[0]);
      cursor.setAttribute('x2', step[0]);
      chart.append(cursor);
      tip.textContent = `step ${step[2]}\n${rows.join('\n')}`;
      tip.style.display = 'block';
      const left = event.clientX + 14 + tip.offsetWidth > innerWidth ? event.clientX - 14 - tip.offsetWidth : event.clientX + 14;
      tip.style.left = `${left}px`;
      tip.style.top = `${event.clientY + 12}px`;
    });
    chart.addEventListener('pointerleave', () => { tip.style.display = 'none'; cursor.remove(); });
  }

  for (const button of document.querySelectorAll('[data-copy]')) {
    button.addEventListener('click', () => {
      navigator.clipboard?.writeText(button.dataset.copy).then(() => {
        button.textContent = 'copied';
        setTimeout(() => { button.textContent = 'copy'; }, 1200);
      }, () => {});
    });
  }

  // Players: one clock for all pictures, sound from the chosen one.
  const stage = byId('stage');
  if (!stage) return;
  const people = JSON.parse(byId('people').textContent);
  const kinds = ['generated', 'ground_truth', 'control'];
  const videos = Object.fromEntries(kinds.map((kind) => [kind, stage.querySelector(`.${kind} video`)]));
  const clock = videos.generated;
  const seek = byId('seek');
  const toggle = byId('toggle');
  const time = byId('time');
  let sound = 'generated';
  let rate = 1;
  let person = null;

  const present = () => kinds.map((kind) => videos[kind]).filter((video) => video.src);
  const align = (tolerance) => {
    for (const video of present()) {
      if (video !== clock && Math.abs(video.currentTime - clock.currentTime) > tolerance) video.currentTime = clock.currentTime;
    }
  };
  const press = (group, value) => {
    for (const button of document.querySelectorAll(`[data-${group}]`)) {
      button.setAttribute('aria-pressed', String(button.dataset[group] === String(value)));
    }
  };
  const draw = () => {
    const length = clock.duration || 1;
    seek.value = String(1000 * clock.currentTime / length);
    time.textContent = `${clock.currentTime.toFixed(1)} / ${length.toFixed(1)} s`;
    const head = byId('trace').querySelector('.playhead');
    if (head) {
      const x = 900 * clock.currentTime / length;
      head.setAttribute('x1', x);
      head.setAttribute('x2', x);
    }
  };
  const tick = () => {
    if (clock.paused) return;
    align(0.07);
    draw();
    requestAnimationFrame(tick);
  };
  const play = () => {
    align(0.01);
    return Promise.all(present().map((video) => video.play())).then(() => {
      toggle.textContent = '❚❚';
      toggle.setAttribute('aria-label', 'pause');
      requestAnimationFrame(tick);
    }, () => {});
  };
  const pause = () => {
    for (const video of present()) video.pause();
    toggle.textContent = '▶';
    toggle.setAttribute('aria-label', 'play');
    align(0.01);
    draw();
  };
  const hear = (kind) => {
    sound = kind;
    for (const name of kinds) videos[name].muted = name !== kind;
    press('sound', kind);
  };
  const choose = (index) => {
    const playing = person && !clock.paused;
    person = people[index];
    for (const kind of kinds) {
      const source = person.videos[kind];
      videos[kind].closest('figure').hidden = !source;
      if (source) videos[kind].src = source; else videos[kind].removeAttribute('src');
      videos[kind].playbackRate = rate;
    }
    stage.querySelector('.reference img').src = person.reference || person.poster;
    for (const [key, text] of Object.entries(person.words)) byId(`word-${key}`).textContent = text;
    byId('trace').innerHTML = person.trace;
    byId('facts').replaceChildren(...person.facts.map(([label, value]) => {
      const block = document.createElement('div');
      const number = document.createElement('b');
      const name = document.createElement('span');
      number.textContent = value;
      name.textContent = label;
      block.append(number, name);
      return block;
    }));
    press('person', index);
    hear(person.videos[sound] ? sound : 'generated');
    toggle.textContent = '▶';
    if (playing) play();
  };
  toggle.addEventListener('click', () => { if (clock.paused) play(); else pause(); });
  clock.addEventListener('ended', () => { clock.currentTime = 0; play(); });
  clock.addEventListener('loadedmetadata', draw);
  seek.addEventListener('input', () => {
    clock.currentTime = seek.value / 1000 * (clock.duration || 0);
    align(0);
    draw();
  });
  for (const button of document.querySelectorAll('[data-person]')) button.addEventListener('click', () => choose(Number(button.dataset.person)));
  for (const button of document.querySelectorAll('[data-sound]')) button.addEventListener('click', () => hear(button.dataset.sound));
  for (const button of document.querySelectorAll('[data-rate]')) {
    button.addEventListener('click', () => {
      rate = Number(button.dataset.rate);
      for (const video of present()) video.playbackRate = rate;
      press('rate', button.dataset.rate);
    });
  }
  byId('trace').addEventListener('click', (event) => {
    const box = byId('trace').getBoundingClientRect();
    clock.currentTime = (event.clientX - box.left) / box.width * (clock.duration || 0);
    align(0);
    draw();
  });
  choose(0);
})();
