"""From files to batches: data sets, records, class folders, decoding, augmentation, the tf.data pipeline."""
