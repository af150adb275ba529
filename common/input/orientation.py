"""The EXIF orientation of JPEG files: what a camera that was held otherwise than upright writes beside its picture.

A tag 1..8 says how the stored picture is to be turned (EXIF 2.3, section 4.6.4 A). Every way is: exchange rows and
columns or not, then mirror left and right or not, then top and bottom or not. PNG and WebP files may carry the tag too;
theirs is not read, data/prepare.py applies it.
"""

import tensorflow as tf

UPRIGHT = 1
EXIF = r"Exif\x00\x00"  # what EXIF data begin with, in a regular expression
HEAD = 512  # bytes of a file in which they are looked for: as a rule they stand first
TABLE = 4096  # bytes of these in which the tag is looked for: it is among their first entries
_TAG = 0x0112
_TRANSPOSED = (5, 6, 7, 8)
_LEFT_RIGHT = (2, 3, 6, 7)
_TOP_BOTTOM = (3, 4, 7, 8)

# A function that stays one operation: in a pipeline each is felt, also those of a branch that is not taken.
as_one_operation = tf.function(autograph=False, experimental_attributes={"_noinline": True})


def _is_one_of(tag: tf.Tensor, tags: tuple[int, ...]) -> tf.Tensor:
    return tf.reduce_any(tf.equal(tag, tags))


def read(encoded: tf.Tensor) -> tf.Tensor:
    """The tag of a JPEG file (bytes, scalar string) that has EXIF data: scalar int32, 1..8.

    It is 1 where there is none or the data are damaged. EXIF data are laid out as a TIFF file: II (low byte first) or
    MM, 42, the place of a table; in it a number of entries of 12 bytes each: tag, type, count, value.
    """
    head = tf.strings.substr(encoded, 0, HEAD + TABLE)
    tiff = tf.strings.regex_replace(head, rf"^\C*?{EXIF}", "", replace_global=False)
    values = tf.pad(tf.cast(tf.io.decode_raw(tiff, tf.uint8), tf.int32), [[0, 16]])
    low_first = tf.equal(values[0], ord("I"))

    def number(part: tf.Tensor, length: int) -> tf.Tensor:
        """Whole numbers of the bytes (..., length)."""
        part = tf.where(low_first, tf.reverse(part, [-1]), part)
        return tf.reduce_sum(part * [256**power for power in reversed(range(length))], -1)

    size = tf.size(values)
    table = number(values[4:8], 4)
    table = tf.where((table >= 8) & (table <= size - 2), table, size - 2)  # elsewhere: no entries
    count = tf.minimum(number(values[table : table + 2], 2), (size - table - 2) // 12)
    entries = tf.reshape(values[table + 2 : table + 2 + 12 * count], [-1, 12])
    found = tf.where(tf.equal(number(entries[:, :2], 2), _TAG), number(entries[:, 8:10], 2), 0)
    tag = tf.reduce_max(tf.concat([found, [UPRIGHT]], 0))
    return tf.where(tag <= 8, tag, UPRIGHT)


def upright_shape(shape: tf.Tensor, tag: tf.Tensor) -> tf.Tensor:
    """(2,): height and width of the upright picture, of those of the stored one; and the other way round."""
    return tf.where(tag >= min(_TRANSPOSED), tf.reverse(shape, [0]), shape)


def _transposed(image: tf.Tensor) -> tf.Tensor:
    """Rows and columns exchanged. Not by tf.transpose, of which oneDNN complains on the terminal (8-bit numbers)."""
    wide = tf.cast(image, tf.int32)
    return tf.cast(tf.raw_ops.Einsum(inputs=[wide], equation="hwc->whc"), image.dtype)


def turn(image: tf.Tensor, tag: tf.Tensor) -> tf.Tensor:
    """The stored picture (H, W, 3) upright."""
    transposed = _is_one_of(tag, _TRANSPOSED)
    image = tf.cond(transposed, lambda: _transposed(image), lambda: image)
    mirrored = tf.stack([_is_one_of(tag, _TOP_BOTTOM), _is_one_of(tag, _LEFT_RIGHT), False])
    return tf.raw_ops.Reverse(tensor=image, dims=mirrored)


def stored_part(part: tf.Tensor, shape: tf.Tensor, tag: tf.Tensor) -> tf.Tensor:
    """Where a part of the upright picture lies in the stored one.

    Args:
        part: (4,) int32, top, left, height, width.
        shape: (2,) int32, height and width of the upright picture.
        tag: scalar int32.

    Returns:
        (4,) int32, as `part`.
    """
    corner, extent = part[:2], part[2:]
    mirrored = tf.stack([_is_one_of(tag, _TOP_BOTTOM), _is_one_of(tag, _LEFT_RIGHT)])
    corner = tf.where(mirrored, shape - corner - extent, corner)
    return tf.concat([upright_shape(corner, tag), upright_shape(extent, tag)], 0)
