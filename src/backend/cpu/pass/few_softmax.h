#pragma once

#include "backend/cpu/few.h"
#include "backend/cpu/pass/forward.h"

namespace tessera::cpu {

// The forward pass for few queries against many keys. All queries that read a
// key head (those of its whole group) stand against a strip of keys at a time,
// so that K and V pass by once. Lanes are features in the scores, then keys in
// the softmax, then features again: nothing is transposed.
template <class Target>
struct Few {
  using V = Vec<Target>;
  using F = typename V::F;
  static constexpr int lanes = V::lanes;
  static constexpr int strip = few_strip;

  Few(const Task& task, const FewWorkspace& w, float* memory)
      : task(task),
        p(task.problem),
        rows(p.group() * p.Nq),
        D(round_up(p.D, few_alignment)),
        Dv(round_up(p.Dv, few_alignment)),
        Q(memory + w.Q),
        K(memory + w.K),
        values(memory + w.V),
        S(memory + w.S),
        O(memory + w.O),
        state(memory + w.state) {}

  // Asks for K and V of the next few keys. All of the work on a strip does, a
  // little at a time, so that the way to memory is never idle: reading is three
  // quarters of the time.
  [[gnu::always_inline]] void ask(int keys) {
    for (; keys > 0 && soon_count > 0; --keys, --soon_count) {
      for (auto* line = soon_K; line < soon_K + K_bytes; line += 64) {
        __builtin_prefetch(line, 0, 2);
      }
      for (auto* line = soon_V; line < soon_V + V_bytes; line += 64) {
        __builtin_prefetch(line, 0, 2);
      }
      soon_K += K_step;
      soon_V += V_step;
    }
  }

  // What `ask` asks for from now on.
  void soon(const Rows& keys) {
    const auto size = static_cast<std::int64_t>(size_of(p.dtype));
    const View& k = task[Operand::K];
    const View& v = task[Operand::V];
    const auto first = [&](const View& view) {
      return static_cast<const std::byte*>(
          view.row(keys.batch, keys.head, keys.span.lo).data);
    };
    soon_K = first(k);
    soon_V = first(v);
    K_step = k.strides[2] * size;
    V_step = v.strides[2] * size;
    K_bytes = p.D * size;
    V_bytes = p.Dv * size;
    const bool rows_lie_whole = k.strides[3] == 1 && v.strides[3] == 1;
    soon_count = rows_lie_whole ? keys.span.size() : 0;
  }

  // Rows of one batch entry and head -> [row][round_up(features)], zeros
  // behind.
  void copy(
      float* to, int pitch, const View& view, const Rows& at, int features) {
    for (int r = 0; r < at.span.size(); ++r) {
      ask(r % 8 == 0 ? 1 : 0);
      float* const row = to + std::ptrdiff_t{r} * pitch;
      for (int f = features / lanes * lanes; f < pitch; f += lanes) {
        V::store(row + f, F{});
      }
      V::each_vector(
          view.row(at.batch, at.head, at.span.lo + r),
          features,
          [=](int f, F v) { V::store(row + f, v); });
    }
  }

  // S[row][key] for `n` rows from `row` on. As many sums as a vector has lanes
  // are made at once, then added up across.
  template <int n>
  void scores(int row, int keys) {
    constexpr int across = lanes / n; // keys at once
    for (int k = 0; k < keys; k += across) {
      F sum[lanes] = {};
      const float* q = Q + std::ptrdiff_t{row} * D;
      const float* key = K + std::ptrdiff_t{k} * D;
      for (int f = 0; f < D; f += lanes) {
        F left[n];
        for (int i = 0; i < n; ++i) {
          left[i] = V::template load<F>(q + i * D + f);
        }
        for (int j = 0; j < across; ++j) {
          const F right = V::template load<F>(key + j * D + f);
          for (int i = 0; i < n; ++i) {
            sum[i * across + j] += left[i] * right;
          }
        }
      }
      ask(row == 0 ? 1 : 0);
      const F sums = V::sums(sum);
      for (int i = 0; i < n; ++i) {
        __builtin_memcpy(
            S + (row + i) * strip + k,
            reinterpret_cast<const float*>(&sums) + i * across,
            across * sizeof(float));
      }
    }
  }

  // O[row][feature] += S[row][key] * V[key][feature] for n rows.
  template <int n>
  void add_values(int row, int keys) {
    constexpr int wide = 4;
    for (int f = 0; f < Dv; f += wide * lanes) {
      const int vectors = Registers<Target>::min((Dv - f) / lanes, wide);
      Registers<Target>::template with_vectors<wide>(
          vectors * lanes, [&]<int m>() {
            F sum[n][m];
            float* const to = O + std::ptrdiff_t{row} * Dv + f;
            Registers<Target>::load(sum, to, Dv);
            for (int k = 0; k < keys; ++k) {
              ask(row == 0 && k % 4 == 0 ? 1 : 0);
              for (int j = 0; j < m; ++j) {
                const F v = V::template load<F>(
                    values + std::ptrdiff_t{k} * Dv + f + j * lanes);
                for (int i = 0; i < n; ++i) {
                  sum[i][j] += S[(row + i) * strip + k] * v;
                }
              }
            }
            Registers<Target>::store(to, Dv, sum);
          });
    }
  }

  // Calls body.template operator()<n>(row) for all rows, four at once as long
  // as there are four.
  template <class Body>
  void each_rows(Body body) {
    int row = 0;
    for (; row + 4 <= rows; row += 4) {
      body.template operator()<4>(row);
    }
    for (; row + 2 <= rows; row += 2) {
      body.template operator()<2>(row);
    }
    for (; row < rows; ++row) {
      body.template operator()<1>(row);
    }
  }

  const Task& task;
  const Problem& p;
  int rows; // head of the group * Nq + query
  int D;
  int Dv;
  float* Q;      // [row][D], times the scale
  float* K;      // [key][D]
  float* values; // [key][Dv]
  float* S;      // [row][strip]
  float* O;      // [row][Dv]
  float* state;  // [row][shift, l]

  // The keys that were not asked for yet.
  const std::byte* soon_K = nullptr;
  const std::byte* soon_V = nullptr;
  std::int64_t K_step = 0;
  std::int64_t V_step = 0;
  std::int64_t K_bytes = 0;
  std::int64_t V_bytes = 0;
  int soon_count = 0;
};

// The score of the softmax of one query, lanes are keys from `key` on; -inf
// where a key is not seen.
template <class Target>
typename Vec<Target>::F few_score(
    const Task& task,
    const Cover& cover,
    const Tile& tile,
    Span seen,
    int key,
    typename Vec<Target>::F s) {
  using V = Vec<Target>;
  using I = typename V::I;
  const Features& features = task.problem.features;
  const int row = tile.rows.lo;
  const int count = Registers<Target>::min(V::lanes, tile.keys().hi - key);
  if (features.softcap) {
    const float c = task.numbers.softcap;
    s = c * V::tanh(s / c);
  }
  if (features.bias || features.mask) {
    s += load_added<Target>(
        task, added_row<Target>(task, tile.batch, tile.head, row), key, count);
  }
  const I j = V::iota() + key;
  if (features.alibi) {
    const float slope = V::load_features(
        task[Operand::slopes].row(tile.batch, tile.head, 0), 0, 1)[0];
    const int position = row + task.problem.Nk - task.problem.Nq;
    s -= slope * V::abs(__builtin_convertvector(j - position, typename V::F));
  }
  I kept = (j >= seen.lo) & (j < seen.hi) & (j < tile.keys().hi);
  for (int i = 0; i < count; ++i) {
    if (features.segments &&
        task[Operand::segments_q].at<std::int32_t>(tile.batch, row) !=
            task[Operand::segments_k].at<std::int32_t>(tile.batch, key + i)) {
      kept[i] = 0;
    }
    if (task.problem.block_rows > 0 &&
        !cover.on(
            tile.batch,
            tile.head,
            row / task.problem.block_rows,
            (key + i) / task.problem.block_columns)) {
      kept[i] = 0;
    }
  }
  return kept ? s : V::broadcast(-V::infinity);
}

// Whether a whole strip's scores are those of the products alone.
template <class Target>
bool is_plain(const Task& task, const Cover& cover, const Tile& tile) {
  const Span keys = tile.keys();
  return tile.t.size() == Few<Target>::strip &&
      !task.problem.features.change_scores() && task.problem.block_rows == 0 &&
      cover.positions(tile.batch, tile.rows, keys) == Seen::everything &&
      cover.segments(tile.batch, tile.rows, keys) == Seen::everything;
}

// One strip of keys joins the softmax of one query: S becomes P, O shrinks.
template <class Target>
void few_softmax(
    const Cover& cover, Few<Target>& x, const Tile& tile, int row) {
  using V = Vec<Target>;
  using F = typename V::F;
  const Task& task = x.task;
  float* const S = x.S + row * x.strip;
  F top = V::broadcast(-V::infinity);
  const bool plain = is_plain<Target>(task, cover, tile);
  const Span seen = cover.mask(tile.batch).span(tile.rows.lo);
  for (int k = 0; k < x.strip; k += V::lanes) {
    F s = V::broadcast(-V::infinity);
    if (plain) {
      s = V::template load<F>(S + k) * V::log2e;
    } else if (k < tile.t.hi) {
      const F raw = V::template load<F>(S + k);
      const int key = tile.packed.lo + k;
      s = V::log2e * few_score<Target>(task, cover, tile, seen, key, raw);
    }
    V::store(S + k, s);
    top = V::max(top, s);
  }
  float* const shift = x.state + 2 * row;
  float* const l = shift + 1;
  const float before = *shift;
  const float largest = V::largest(top); // NaN comes back with P
  const float after =
      largest > least_exponent ? __builtin_fmaxf(before, largest) : before;
  const float used = after == -V::infinity ? 0.0f : after;
  const float shrink = V::exp2(V::broadcast(before - used))[0];
  F sum = {};
  for (int k = 0; k < x.strip; k += V::lanes) {
    const F p = V::exp2(V::template load<F>(S + k) - used);
    V::store(S + k, p);
    sum += p;
  }
  *shift = after;
  *l = *l * shrink + V::sum(sum);
  if (shrink != 1.0f) {
    float* const O = x.O + std::ptrdiff_t{row} * x.Dv;
    for (int f = 0; f < x.Dv; f += V::lanes) {
      V::store(O + f, V::template load<F>(O + f) * shrink);
    }
  }
}

// P of one query times what dropout leaves.
template <class Target>
void few_dropout(Few<Target>& x, const Tile& tile, int row) {
  using V = Vec<Target>;
  const float p = x.task.numbers.dropout;
  const auto threshold = dropout_threshold<Target>(p);
  const auto* seed = &x.task[Operand::seed].template at<std::uint32_t>(0);
  float* const S = x.S + row * x.strip;
  const auto lane = V::iota();
  for (int k = 0; k < tile.t.hi; ++k) {
    const auto key = static_cast<std::uint32_t>(tile.packed.lo + k);
    const auto words = Philox<Target>::draw(
        {{V::broadcast_bits(key / 4),
          V::broadcast_bits(static_cast<std::uint32_t>(tile.rows.lo)),
          V::broadcast_bits(
              static_cast<std::uint32_t>(tile.batch * x.p.Hq + tile.head)),
          (typename V::U)(lane * 0)}},
        seed[0],
        seed[1]);
    const bool kept = words.word[key % 4][0] >= threshold;
    S[k] *= kept ? 1.0f / (1.0f - p) : 0.0f;
  }
}

} // namespace tessera::cpu
