from .attention import Attention as Attention
from .attention import Memory as Memory
from .multiway import MultiSeq2Seq as MultiSeq2Seq
from .seq2seq import Decoder as Decoder
from .seq2seq import DecoderCarry as DecoderCarry
from .seq2seq import Encoded as Encoded
from .seq2seq import Encoder as Encoder
from .seq2seq import Seq2Seq as Seq2Seq
