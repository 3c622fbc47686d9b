"""What one minibatch gradient adds to the gradient of the loss."""
