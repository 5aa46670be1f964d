#include "cli/progress.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string_view>

namespace tessera::cli {
namespace {

std::size_t terminal_columns() {
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0;
  return known && size.ws_col > 0 ? size.ws_col : 80;
}

// The first `columns` characters of UTF-8 text.
std::string_view clip(std::string_view text, std::size_t columns) {
  std::size_t characters = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool begins = (static_cast<unsigned char>(text[i]) & 0xC0) != 0x80;
    if (begins && characters++ == columns) {
      return text.substr(0, i);
    }
  }
  return text;
}

} // namespace

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) {
    return "-";
  }
  const auto whole = std::llround(seconds);
  const auto h = whole / 3600, m = whole / 60 % 60, s = whole % 60;
  return h > 0 ? fmt::format("{}:{:02}:{:02}", h, m, s)
               : fmt::format("{}:{:02}", m, s);
}

std::string draw_bar(double share, int width) {
  static constexpr std::array<const char*, 8> kPartial = {
      " ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto eighths =
      static_cast<int>(std::lround(std::clamp(share, 0.0, 1.0) * width * 8.0));
  std::string bar;
  for (int cell = 0; cell < width; ++cell) {
    const int fill = std::clamp(eighths - cell * 8, 0, 8);
    bar += fill == 8 ? "█" : kPartial[static_cast<std::size_t>(fill)];
  }
  return bar;
}

ProgressLine::ProgressLine(bool enabled) : enabled_(enabled) {}

ProgressLine::~ProgressLine() {
  clear();
}

void ProgressLine::show(const std::string& line) {
  const auto now = std::chrono::steady_clock::now();
  if (!enabled_ || (drawn_ && now - last_ < std::chrono::milliseconds(50))) {
    return;
  }
  // One column short, so that no terminal wraps the line.
  fmt::print(stderr, "\r\x1b[2K{}", clip(line, terminal_columns() - 1));
  std::fflush(stderr);
  drawn_ = true;
  last_ = now;
}

void ProgressLine::clear() {
  if (drawn_) {
    fmt::print(stderr, "\r\x1b[2K");
    std::fflush(stderr);
    drawn_ = false;
  }
}

bool stderr_is_terminal() {
  return isatty(STDERR_FILENO) != 0;
}

} // namespace tessera::cli
