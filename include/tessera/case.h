#pragma once

#include <mlx/mlx.h>

#include <optional>
#include <string>
#include <vector>

#include "tessera/attention.h"

namespace tessera {

// The sides of a block list's blocks. Those are off whose row is 1, 4, 7, ...
// more, or 2, 5, 8, ... less, than their column.
struct BlockSides {
  int rows = 0;
  int columns = 0;
};

// A call of `attention` whose arrays are random, by its shapes and features.
struct AttentionCase {
  mx::Dtype dtype = mx::float32;
  int B = 1;
  int Hq = 8;
  int Hkv = 8;
  int Nq = 1024;
  int Nk = 1024;
  int D = 64;
  int Dv = 64;

  bool causal = false;
  std::optional<Window> window = std::nullopt;
  std::optional<int> prefix = std::nullopt;
  std::optional<int> chunk = std::nullopt;
  std::vector<int> segments = {}; // lengths of packed documents; their sum is N
  std::optional<float> softcap = std::nullopt;
  bool alibi = false; // slopes 2^(-8 (h + 1) / Hq)
  bool sinks = false;
  // Shapes broadcastable to [B, Hq, Nq, Nk], as "1x1xNxN" or "1,H,1,N": numbers
  // and the letters B, H and N. Empty: none.
  std::string bias = "";
  std::string mask = "";
  std::optional<BlockSides> blocks = std::nullopt;
  float dropout = 0.0f;

  Implementation implementation = Implementation::tessera;
  int block_size = 0;
};

// The case in a line: "float32, B 1, heads 8:8, ... causal, window 511:0".
std::string describe(const AttentionCase& c);

// Cases that differ in their lengths, head dimensions and batch sizes. A list
// that is empty leaves what `attention` has; a length is Nq and Nk, a head
// dimension D, and Dv too where `value_dim` is absent.
struct AttentionGrid {
  AttentionCase attention;
  std::vector<int> seq_lengths = {};
  std::vector<int> head_dims = {};
  std::vector<int> batch_sizes = {};
  std::optional<int> value_dim = std::nullopt;

  std::vector<AttentionCase> cases() const;
};

} // namespace tessera
