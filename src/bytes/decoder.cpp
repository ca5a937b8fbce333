#include "bytes/decoder.hpp"

#include <zstd.h>

#include <algorithm>
#include <coldcase/result.hpp>

namespace coldcase {

Decoder::Decoder()
    : decoder_(ZSTD_createDCtx()),
      out_(std::max<std::size_t>(ZSTD_DStreamOutSize(), std::size_t{256} << 10)) {
  if (!decoder_) throw Error(Trouble::internal, "out of memory");
}

void Decoder::Free::operator()(ZSTD_DCtx_s* decoder) const {
  ZSTD_freeDCtx(decoder);
}

std::string Decoder::feed(Bytes in, const Take& take) {
  ZSTD_inBuffer input{in.data(), in.size(), 0};
  bool more = false;  // what did not fit; a frame that ends with a full buffer has none
  while (input.pos < input.size || more) {
    ZSTD_outBuffer output{out_.data(), out_.size(), 0};
    left_ = ZSTD_decompressStream(decoder_.get(), &output, &input);
    if (ZSTD_isError(left_) != 0) return ZSTD_getErrorName(left_);
    if (!take(Bytes{out_.data(), output.pos})) return "more comes out than was announced";
    more = output.pos == output.size && left_ != 0;
  }
  return {};
}

void Decoder::start_anew() {
  ZSTD_DCtx_reset(decoder_.get(), ZSTD_reset_session_only);
  left_ = 0;
}

}  // namespace coldcase
