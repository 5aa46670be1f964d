#pragma once

#include "plan/problem.h"
#include "tessera/case.h"

namespace tessera::cases {

// Throws InputError where a number of the case makes no sense by itself. What
// `attention` refuses is left to it.
void check(const AttentionCase& c);

Problem problem_of(const AttentionCase& c, Pass pass);

// The keys that a query may see by positions, prefix and segments.
Span seen(const AttentionCase& c, int row);

// "1x1xNxN" in numbers, for the flag that `what` names.
mx::Shape resolve(
    const std::string& text, const AttentionCase& c, const char* what);

// "causal, window 511:0, ..."; empty where every key is seen.
std::string describe_mask(const AttentionCase& c);

std::string dtype_name(mx::Dtype dtype);

} // namespace tessera::cases
