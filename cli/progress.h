#pragma once

#include <chrono>
#include <string>

namespace tessera::cli {

// "1:02:03", "4:05"; whole seconds.
std::string format_duration(double seconds);

// A bar of `width` cells for a share in [0, 1], in eighths of a cell.
std::string draw_bar(double share, int width);

// One line at the bottom of a terminal that is drawn over and over; nothing at
// all where the stream is not a terminal.
class ProgressLine {
 public:
  explicit ProgressLine(bool enabled);
  ~ProgressLine();

  // Replaces the line. Skipped if the last drawing is under 50 ms old.
  void show(const std::string& line);
  // Takes the line away, so that other output can be printed above it.
  void clear();

 private:
  bool enabled_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_{};
};

// Whether standard error is a terminal.
bool stderr_is_terminal();

} // namespace tessera::cli
