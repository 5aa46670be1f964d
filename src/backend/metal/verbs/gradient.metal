// L of a row, base 2, as the exponent takes it: a row that sees no key gets
// probabilities of 0.
inline float logsumexp2(float L) {
  return L == -INFINITY ? INFINITY : L * LOG2E;
}

// The probabilities of an element after dropout, and the cotangent of its score
// before and after the softcap.
struct ElementGradient {
  float P;
  float dS;       // of what bias and slope join
  float dproduct; // of scale * q.k
};

// `product` is q.k, dP the element of dO V^T, `kept` what dropout multiplies P
// by, L in base 2, D rowsum(dO * O) - dL (Dao, "FlashAttention-2", 2023,
// algorithm 2).
inline ElementGradient element_gradient(
    thread const Scores& scores,
    Element x,
    float product,
    float dP,
    float kept,
    float L,
    float D) {
  float slope = 1.0f;
  const float S = scores.of(product, x.head, x.query, x.key, slope);
  const float P = exp2(S - L);
  const float dS = P * (dP * kept - D);
  return {P * kept, dS, dS * slope};
}
