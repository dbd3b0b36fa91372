"""What is measured of an image: conventions, PSNR, SSIM, PSNR-B, LPIPS, and the list of them all (catalog)."""
