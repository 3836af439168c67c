'use strict';
(() => {
  const root = document.documentElement;
  root.dataset.theme = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  document.getElementById('theme').addEventListener('click', () => {
    root.dataset.theme = root.dataset.theme === 'dark' ? 'light' : 'dark';
  });
  // All videos of a case start together; the first one that is heard keeps the others in step.
  for (const card of document.querySelectorAll('.lineup-card')) {
    const button = card.querySelector('.play');
    const videos = [...card.querySelectorAll('video')];
    if (!videos.length) { button.hidden = true; continue; }
    const show = () => { button.textContent = videos[0].paused ? '▶' : '❚❚'; };
    button.addEventListener('click', async () => {
      if (!videos[0].paused) { videos.forEach((video) => video.pause()); show(); return; }
      videos.forEach((video) => { video.muted = video !== videos[0]; video.currentTime = 0; });
      await Promise.all(videos.map((video) => video.play()));
      show();
    });
    videos[0].addEventListener('ended', show);
    for (const video of videos) {
      video.addEventListener('click', () => videos.forEach((each) => { each.muted = each !== video; }));
    }
    setInterval(() => {
      if (videos[0].paused) return;
      for (const video of videos.slice(1)) {
        if (Math.abs(video.currentTime - videos[0].currentTime) > 0.12) video.currentTime = videos[0].currentTime;
      }
    }, 500);
  }
})();
