/** The best score after normalization. */
export const maxScore = 100;

/** Scales scores to 0 to 100 by the highest; `reverse` turns more into worse. All zero stays equal. */
export function scaleToHighest(scores: Float64Array, reverse = false): void {
  let highest = 0;
  for (const score of scores) if (score > highest) highest = score;
  for (let i = 0; i < scores.length; i++) {
    const scaled = highest === 0 ? 0 : ((scores[i] ?? 0) * maxScore) / highest;
    scores[i] = reverse ? maxScore - scaled : scaled;
  }
}

/** Scales scores so that the lowest becomes 0 and the highest 100; all equal become 0. */
export function scaleToRange(scores: Float64Array): void {
  let lowest = Infinity;
  let highest = -Infinity;
  for (const score of scores) {
    if (score < lowest) lowest = score;
    if (score > highest) highest = score;
  }
  const range = highest - lowest;
  for (let i = 0; i < scores.length; i++) scores[i] = range === 0 ? 0 : (((scores[i] ?? 0) - lowest) * maxScore) / range;
}
