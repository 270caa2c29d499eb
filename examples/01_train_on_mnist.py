"""
Train the tutorial's network on the digits that come with xpcnn; look at its answers; save it; load it again.

    python examples/01_train_on_mnist.py [EPOCHS [DATASET]]

One epoch of mnist-mini by default, which takes some seconds. `mnist` is the full set.
"""

import sys
import tempfile
from pathlib import Path

import xpcnn
from xpcnn.training import confusion_matrix

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 1
data = xpcnn.datasets.load(sys.argv[2] if len(sys.argv) > 2 else "mnist-mini")
print(f"{data.name}: training images {data.x_train.shape}, test images {data.x_test.shape}")

model = xpcnn.models.deepnotes(seed=0)
print(model.summary(batch=50))
print()

model.fit(
    data.x_train,
    data.y_train,
    epochs=epochs,
    batch_size=50,
    optimizer=xpcnn.optimizers.SGD(lr=0.02, momentum=0.9, nesterov=True),
    verbose=2,  # one line an epoch
)

# What it has not seen decides.
figures = model.evaluate(data.x_test, data.y_test)
print(f"test loss {figures['loss']:.4f}")
print(f"test accuracy {figures['accuracy']:.4f}")

print("first ten answers:", model.predict(data.x_test[:10]))
print("first ten labels: ", data.y_test[:10])

probabilities = model.predict_proba(data.x_test)
answers = probabilities.argmax(axis=1)
print("confusion matrix, a row for each true digit, a column for each answer")
print(confusion_matrix(data.y_test, answers, num_classes=10))

sure = probabilities.max(axis=1)
i = int(sure.argmin())
print(f"least sure of test image {i}: a {data.y_test[i]}, taken for a {answers[i]} with probability {sure[i]:.2f}")

# One file holds the architecture and the weights.
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "digits.safetensors"
    model.save(path)
    loaded = xpcnn.load(path)
    size = path.stat().st_size
some = data.x_test[:100]
same = bool((loaded.predict_proba(some) == model.predict_proba(some)).all())
print(f"saved {size:,} bytes; the loaded model gives the same bits: {same}")
