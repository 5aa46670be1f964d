#include <cstdint>
#include <memory>
#include <thread>

#include "backend/cpu/peak.h"
#include "contender.h"

// What the machine can do at most: arithmetic from registers, and reading.
namespace tessera::bench {

namespace {

// Of 64 bytes: as many loads as the processor has vector registers for are
// under way at a time, so that memory is the limit.
using Line = std::uint64_t __attribute__((vector_size(64)));

std::uint64_t sum(const Line* begin, const Line* end) {
  Line totals[4] = {};
  for (; begin + 4 <= end; begin += 4) {
    for (int i = 0; i < 4; ++i) {
      totals[i] += begin[i];
    }
  }
  const Line total = totals[0] + totals[1] + totals[2] + totals[3];
  return total[0] + total[7];
}

struct Memory {
  std::vector<Line> lines;
  // Written, so that the sums are not optimised away.
  std::vector<std::uint64_t> sums;
};

} // namespace

Contender peak(const char* name, Isa isa, Dtype dtype, int threads) {
  return {name, 0, nullptr, [=] {
            return cpu::peak_flops(isa, dtype, threads);
          }};
}

double key_bytes(const AttentionCase& c) {
  return static_cast<double>(c.B) * c.Hkv * c.Nk * (c.D + c.Dv) *
      static_cast<double>(mx::size_of(c.dtype));
}

Contender streaming_read(const AttentionCase& c, int threads) {
  const double bytes = key_bytes(c);
  const auto memory = std::make_shared<Memory>();
  memory->lines.resize(static_cast<std::size_t>(bytes / sizeof(Line)));
  memory->sums.resize(static_cast<std::size_t>(threads));
  Contender reader{"streaming read", bytes, [=] {
                     const auto count = memory->lines.size();
                     const auto parts = memory->sums.size();
                     std::vector<std::jthread> workers;
                     for (std::size_t t = 0; t < parts; ++t) {
                       workers.emplace_back([=] {
                         const Line* lines = memory->lines.data();
                         memory->sums[t] =
                             sum(lines + count * t / parts,
                                 lines + count * (t + 1) / parts);
                       });
                     }
                   }};
  reader.unit = "GB/s";
  return reader;
}

} // namespace tessera::bench
